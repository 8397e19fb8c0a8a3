"""The shape of a dropout, as one hashable value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import MinigradError


@dataclass(frozen=True)
class DropoutProblem:
    """Dropout of each element of an array of `shape` with `probability`.

    Raises:
        MinigradError: if the probability is not between 0 and 1.
    """

    shape: tuple[int, ...]
    probability: float
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise MinigradError(f"dropout: probability must be between 0 and 1, got {self.probability}")

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def blocks(self) -> int:
        """Number of random blocks of four words that a draw uses up."""
        return -(-self.size // 4)

    @property
    def threshold(self) -> int:
        """The smallest 32-bit word that keeps its element: word / 2**32 >= probability, without rounding."""
        return math.ceil(self.probability * 2**32)

    @property
    def scale(self) -> float:
        """What kept elements are multiplied by."""
        return 1 / (1 - self.probability) if self.probability < 1 else 0.0
