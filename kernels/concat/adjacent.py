"""Parts that lie side by side in one buffer: joined without a copy, on every device."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, array_module, owner
from ..cuda.buffers import address
from .problem import ConcatProblem


def common_view(problem: ConcatProblem, arrays: tuple[Array, ...]) -> Array | None:
    """The arrays as one view if each begins in memory where the one before it ends, else None."""
    first = arrays[0]
    place = address(first)
    for array in arrays:
        if array.strides != first.strides or address(array) != place or owner(array) is not owner(first):
            return None
        place += array.shape[problem.axis] * array.strides[problem.axis]
    options = {"subok": True} if isinstance(first, np.ndarray) else {}
    return array_module(first).lib.stride_tricks.as_strided(first, problem.output_shape, first.strides, **options)
