"""Sums of arrays on CUDA: the launch of accumulate.cu, which says how the kernel works.

- `reference` is the library's addition;
- `stream` adds channels-last activations and other contiguous arrays, 16 bytes a thread where alignment allows it.
  Arrays that lie in different orders are left to the library.
"""

from __future__ import annotations

import math

import numpy as np

from ..arrays import Array, is_channels_last
from ..cuda.buffers import empty, empty_channels_last, pixel_distance, vector_width
from ..cuda.dtypes import REAL, of_no_use, refuses_other_dtypes
from ..cuda.launch import CudaSource
from . import add, add_to
from .problem import AccumulateProblem
from .reference import add_reference, add_to_reference

THREADS = 256
MOST_BLOCKS = 1 << 14
SOURCE = CudaSource(
    "accumulate/accumulate.cu",
    REAL=tuple(REAL.values()),
    VECTOR=("1", "2", "4", "8"),
    unless=of_no_use,
)


def refuses(problem: AccumulateProblem) -> str | None:
    if obstacle := refuses_other_dtypes(problem):
        return obstacle
    return "it counts elements of a row in 32 bits" if math.prod(problem.shape) >= 2**31 else None


def _images(a: Array, b: Array) -> tuple[Array, Array] | None:
    """The arrays as channels-last (N, C, H, W) of one order; None where they lie in different ones."""
    if a.flags.c_contiguous and b.flags.c_contiguous:
        return a.reshape(1, -1, 1, 1), b.reshape(1, -1, 1, 1)
    if a.ndim == 4 and is_channels_last(a) and is_channels_last(b):
        return a, b
    return None


def _launch(problem: AccumulateProblem, a: Array, b: Array, y: Array) -> None:
    channels = a.shape[1]
    vector = vector_width(channels, a, b, y)
    vectors = a.size // vector
    rows = [item for array in (a, b) for item in (array, np.int32(pixel_distance(array)))]
    SOURCE.kernel("add", REAL=REAL[problem.dtype], VECTOR=vector)(
        (min(MOST_BLOCKS, -(-vectors // THREADS)),),
        (THREADS,),
        *(*rows, np.int64(vectors), np.int32(channels), y, np.int32(pixel_distance(y))),
    )


@add.variant("stream", device="cuda", priority=10, refuses=refuses)
def add_rows(problem: AccumulateProblem, a: Array, b: Array) -> Array:
    images = _images(a, b)
    if images is None:
        return add_reference(problem, a, b)
    if a.flags.c_contiguous and b.flags.c_contiguous:
        y = empty(a.shape, a.dtype, like=a)
        _launch(problem, *images, y.reshape(1, -1, 1, 1))
    else:
        y = empty_channels_last(a.shape, a.dtype, like=a)
        _launch(problem, *images, y)
    return y


@add_to.variant("stream", device="cuda", priority=10, refuses=refuses)
def add_to_rows(problem: AccumulateProblem, a: Array, b: Array) -> None:
    images = _images(a, b)
    if images is None:
        add_to_reference(problem, a, b)
    else:
        _launch(problem, *images, images[0])
