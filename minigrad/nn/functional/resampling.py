"""Images of another size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...autograd import apply
from ...kernels.arrays import dtype_name
from ...kernels.errors import MinigradError, ShapeError
from ...kernels.interpolate import InterpolateProblem
from ...ops.indexing import take
from ...ops.resample import Bilinear
from ...tensor import Tensor
from .arguments import Pair, four, pair, real, switch


def interpolate(
    input: Tensor,
    size: Pair | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Tensor:
    """Resize images.

    Args:
        input: (N, C, H, W); one image alone is no input, as PyTorch reads three axes as (N, C, W).
        size: the height and width of the result; or else
        scale_factor: by how much they grow, one number or a pair.
        mode: "nearest" or "bilinear".
        align_corners: for "bilinear": whether the centres of the corner pixels stay where they are, instead of
            the corners of the image.

    Raises:
        ShapeError: if not exactly one of size and scale_factor is given, one is not positive, or the input has
            not four axes.
        DTypeError: if the input is no Tensor of real numbers.
        MinigradError: for another mode, or align_corners with "nearest".
    """
    name = "interpolate"
    if mode not in ("nearest", "bilinear"):
        raise MinigradError(f'{name}: mode must be "nearest" or "bilinear", got {mode!r}')
    align_corners = switch(name, "align_corners", align_corners)
    if align_corners and mode == "nearest":
        raise MinigradError(f'{name}: align_corners has a meaning for mode "bilinear" only')
    if (size is None) == (scale_factor is None):
        raise ShapeError(
            f"{name}: give size or scale_factor, and not both (size={size}, scale_factor={scale_factor})"
        )

    x = real(input, name)
    if x.ndim != 4:
        raise ShapeError(f"{name}: the input must be (N, C, H, W), got shape {x.shape}")
    sizes, ratios = _sizes(x.shape[2:], size, scale_factor, name)
    if min(sizes) < 1 or min(x.shape[2:]) < 1:
        raise ShapeError(f"{name}: {x.shape} cannot be resized to {sizes}")
    if mode == "nearest":
        for axis, m, ratio in zip((2, 3), sizes, ratios, strict=True):
            x = take(x, _nearest(x.shape[axis], m, ratio), axis)
        return x
    problem = InterpolateProblem(four(x), sizes, ratios, align_corners, dtype_name(x.dtype))
    return apply(Bilinear(problem), x)


def _sizes(
    image: tuple[int, ...], size: Any, scale_factor: Any, name: str
) -> tuple[tuple[int, int], tuple[float, float]]:
    """The size of the result, and how far apart its pixels are in pixels of the image."""
    if size is not None:
        height, width = pair(size, f"{name}: size")
        return (height, width), (image[0] / max(1, height), image[1] / max(1, width))
    factors = scale_factor if isinstance(scale_factor, tuple | list) else (scale_factor, scale_factor)
    known = all(isinstance(f, int | float | np.number) and 0 < f < math.inf for f in factors)
    if len(factors) != 2 or not known:
        raise ShapeError(f"{name}: scale_factor must be one positive number or a pair, got {scale_factor!r}")
    down, right = (float(f) for f in factors)
    return (math.floor(image[0] * down), math.floor(image[1] * right)), (1.0 / down, 1.0 / right)


def _nearest(n: int, m: int, ratio: float) -> np.ndarray:
    """(m,): which of n pixels each place reads. Rounded in float32, as PyTorch does: some quotients fall
    on either side of an integer. As many pixels, or twice as many, are copied whatever the factor was."""
    if m in (n, 2 * n):
        ratio = n / m
    places = np.floor(np.arange(m, dtype=np.float32) * np.float32(ratio))
    return np.minimum(places.astype(np.int64), n - 1)
