"""The shapes of a bilinear interpolation, as one hashable value, and which pixels each place lies between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..errors import ShapeError


class Neighbours(NamedTuple):
    """Along one axis, for m places between n pixels.

    Attributes:
        lower: (m,) int32; the pixel before each place. The one behind it is lower + 1, or the last one.
        fraction: (m,) float64; how far each place lies behind its lower pixel, up to 1.
        first: (n,) int32; the first place that reads each pixel.
        stop: (n,) int32; one past the last place that reads it.
    """

    lower: np.ndarray
    fraction: np.ndarray
    first: np.ndarray
    stop: np.ndarray


@dataclass(frozen=True)
class InterpolateProblem:
    """Images of `shape` (N, C, H, W) resized to `output_size`, (P, Q).

    `ratios` says how far apart the new pixels are in old ones, down and across; with `align_corners` the sizes do.

    Raises:
        ShapeError: if an image has no pixel, before or after.
    """

    shape: tuple[int, int, int, int]
    output_size: tuple[int, int]
    ratios: tuple[float, float]
    align_corners: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if len(self.shape) != 4 or min(self.shape[1:]) < 1 or min(self.output_size) < 1:
            raise ShapeError(
                "interpolate: images must be (N, C, H, W) with at least one channel and pixel, before and after, "
                f"got {self.shape} and {self.output_size}"
            )

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """(N, C, P, Q)."""
        return (*self.shape[:2], *self.output_size)

    def neighbours(self, axis: int) -> Neighbours:
        """Which pixels the new ones lie between, down (axis 0) or across (axis 1)."""
        return _neighbours(self.shape[2 + axis], self.output_size[axis], self.ratios[axis], self.align_corners)


@lru_cache(maxsize=256)
def _neighbours(n: int, m: int, ratio: float, align_corners: bool) -> Neighbours:
    if align_corners:
        places = np.arange(m) * ((n - 1) / (m - 1) if m > 1 else 0.0)
    else:
        places = np.maximum((np.arange(m) + 0.5) * ratio - 0.5, 0.0)
    lower = np.minimum(np.floor(places).astype(np.int32), n - 1)
    pixels = np.arange(n)
    # Places are in order, so those that read one pixel follow one another.
    first = np.searchsorted(np.minimum(lower + 1, n - 1), pixels, "left")
    stop = np.searchsorted(lower, pixels, "right")
    return Neighbours(lower, np.minimum(places - lower, 1.0), first.astype(np.int32), stop.astype(np.int32))
