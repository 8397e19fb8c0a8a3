"""The shapes of a matrix product, as one hashable value."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..errors import ShapeError


@dataclass(frozen=True)
class MatmulProblem:
    """(..., M, K) @ (..., K, N): the axes before the last two are stacks of matrices, and broadcast.

    Raises:
        ShapeError: if the inner sizes differ or the stacks do not broadcast.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    dtype: str = "float32"

    def __post_init__(self) -> None:
        fit = min(len(self.left), len(self.right)) >= 2 and self.left[-1] == self.right[-2]
        try:
            np.broadcast_shapes(self.left[:-2], self.right[:-2])
        except ValueError:
            fit = False
        if not fit:
            raise ShapeError(f"matmul: shapes {self.left} and {self.right} do not fit together")

    @functools.cached_property
    def stack(self) -> tuple[int, ...]:
        """The shape of the stack of products."""
        return np.broadcast_shapes(self.left[:-2], self.right[:-2])

    @functools.cached_property
    def output_shape(self) -> tuple[int, ...]:
        return (*self.stack, self.left[-2], self.right[-1])
