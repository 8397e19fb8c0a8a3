"""Images of another size."""

from __future__ import annotations

import math

import numpy as np

from ...kernels.errors import MinigradError, ShapeError
from ...ops.linalg import einsum
from ...ops.shape import take
from ...tensor import Tensor
from .arguments import Pair, on_batch, pair


def interpolate(
    input: Tensor,
    size: Pair | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Tensor:
    """Resize images.

    Args:
        input: (N, C, H, W).
        size: the height and width of the result; or else
        scale_factor: by how much they grow, one number or a pair.
        mode: "nearest" or "bilinear".
        align_corners: for "bilinear": whether the centres of the corner pixels stay where they are, instead of
            the corners of the image.

    Raises:
        ShapeError: if not exactly one of size and scale_factor is given, or one is not positive.
        MinigradError: for another mode, or align_corners with "nearest".
    """
    name = "interpolate"
    if mode not in ("nearest", "bilinear"):
        raise MinigradError(f'{name}: mode must be "nearest" or "bilinear", got {mode!r}')
    if align_corners and mode == "nearest":
        raise MinigradError(f'{name}: align_corners has a meaning for mode "bilinear" only')
    if (size is None) == (scale_factor is None):
        raise ShapeError(
            f"{name}: give size or scale_factor, and not both (size={size}, scale_factor={scale_factor})"
        )

    def run(x: Tensor) -> Tensor:
        if size is not None:
            sizes = pair(size, f"{name}: size")
            ratios = [n / m if m else 0.0 for n, m in zip(x.shape[2:], sizes, strict=True)]
        else:
            factors = scale_factor if isinstance(scale_factor, tuple | list) else (scale_factor, scale_factor)
            sizes = tuple(math.floor(n * float(f or 0)) for n, f in zip(x.shape[2:], factors, strict=True))  # type: ignore[assignment]
            ratios = [1.0 / float(f) if f else 0.0 for f in factors]
        if min(sizes) < 1 or min(x.shape[2:]) < 1:
            raise ShapeError(f"{name}: {x.shape} cannot be resized to {sizes}")
        if mode == "nearest":
            for axis, m, ratio in zip((2, 3), sizes, ratios, strict=True):
                places = np.minimum(np.floor(np.arange(m) * ratio).astype(np.int64), x.shape[axis] - 1)
                x = take(x, places, axis)
            return x
        rows, columns = (
            Tensor(x.xp.asarray(_bilinear_matrix(n, m, ratio, align_corners).astype(x.dtype)))
            for n, m, ratio in zip(x.shape[2:], sizes, ratios, strict=True)
        )
        # Bilinear interpolation is linear in rows and columns apart: a small matrix on either side.
        return einsum("ph,nchw,qw->ncpq", rows, x, columns)

    return on_batch(input, run, name)


def _bilinear_matrix(n: int, m: int, ratio: float, align_corners: bool) -> np.ndarray:
    """(m, n): the weights with which m places between n pixels read their two neighbours."""
    if align_corners:
        places = np.arange(m) * ((n - 1) / (m - 1) if m > 1 else 0.0)
    else:
        places = np.maximum((np.arange(m) + 0.5) * ratio - 0.5, 0.0)
    lower = np.minimum(np.floor(places).astype(np.int64), n - 1)
    upper = np.minimum(lower + 1, n - 1)
    matrix = np.zeros((m, n))
    np.add.at(matrix, (np.arange(m), lower), 1.0 - (places - lower))
    np.add.at(matrix, (np.arange(m), upper), places - lower)
    return matrix
