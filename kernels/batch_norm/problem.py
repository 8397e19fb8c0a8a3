"""The shape of a batch normalisation, as one hashable value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..arrays import Array
from ..errors import ShapeError


@dataclass(frozen=True)
class BatchNormProblem:
    """Normalisation of an input of `shape` (N, C, H, W); `relu` asks for max(0, y) in the same pass.

    Raises:
        ShapeError: if the shape has no channel or pixel, or epsilon is negative.
    """

    shape: tuple[int, int, int, int]
    epsilon: float = 1e-5
    relu: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if len(self.shape) != 4 or min(self.shape[1:]) < 1:
            raise ShapeError(
                f"batch_norm: the input must be (N, C, H, W) with at least one channel and pixel, got {self.shape}"
            )
        if self.epsilon < 0:
            raise ShapeError(f"batch_norm: epsilon must not be negative, got {self.epsilon}")

    @property
    def statistics_dtype(self) -> str:
        """Of everything that is by channel: float32 where activations have 16 bits."""
        return "float32" if self.dtype in ("float16", "bfloat16") else self.dtype

    @property
    def count(self) -> int:
        """Number of values that a channel's mean is taken over: N * H * W."""
        n, _, h, w = self.shape
        return n * h * w


class Running(NamedTuple):
    """Running statistics (C,) that are to move, in place, towards those of a batch.

    Attributes:
        mean, variance: of `BatchNormProblem.statistics_dtype`, or of 16 bits.
        momentum: how far they move; a number, or a () float64 array on their device.
        batches: () int64, to be counted up by one, or None.
    """

    mean: Array
    variance: Array
    momentum: float | Array
    batches: Array | None = None
