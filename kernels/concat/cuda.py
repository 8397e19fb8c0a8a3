"""Concatenation along the channels of channels-last activations on CUDA, in bytes, whatever they mean.

- `reference` leaves the order in memory to the array library, and copies through its general indexing;
- `rows` copies nothing where the parts are adjacent slices of one buffer; else it launches one copy a part
  (concat.cu), up to 16 bytes a thread. Along the first axis, each contiguous array is joined like one pixel.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..cuda.buffers import address, channels_last, contiguous, empty_channels_last, pixel_distance
from ..cuda.launch import CudaSource
from . import forward
from .adjacent import common_view
from .problem import ConcatProblem

UNITS = {16: "uint4", 8: "uint2", 4: "unsigned int", 2: "unsigned short", 1: "unsigned char"}
THREADS, MOST_BLOCKS = 256, 4096

SOURCE = CudaSource("concat/concat.cu", UNIT=tuple(UNITS.values()))


def refuses(problem: ConcatProblem) -> str | None:
    if problem.axis != 0 and (len(problem.output_shape) != 4 or problem.axis != 1):
        return "it joins (N, C, H, W) arrays along axis 1, and others along axis 0"
    return None


def _copy(x: Array, y: Array) -> None:
    """y[...] = x for (N, C, H, W) arrays that lie channels-last and have the same elements."""
    row, x_step, y_step = (n * x.itemsize for n in (x.shape[1], pixel_distance(x), pixel_distance(y)))
    unit = next(size for size in UNITS if not any(n % size for n in (row, x_step, y_step, address(x), address(y))))
    units = x.size * x.itemsize // unit
    SOURCE.kernel("copy_rows", UNIT=UNITS[unit])(
        (min(MOST_BLOCKS, -(-units // THREADS)),), (THREADS,),
        x, np.int64(x_step // unit), y, np.int64(y_step // unit), np.int32(row // unit), np.int64(units),
    )  # fmt: skip


@forward.variant("rows", device="cuda", priority=10, refuses=refuses)
def forward_rows(problem: ConcatProblem, arrays: tuple[Array, ...]) -> Array:
    view = common_view(problem, arrays)
    if view is not None:
        return view
    if problem.axis == 0:
        lines = [contiguous(array).reshape(1, -1, 1, 1) for array in arrays]
        joined = ConcatProblem(tuple([line.shape for line in lines]), 1, problem.dtype)
        return forward_rows(joined, tuple(lines)).reshape(problem.output_shape)
    n, c, h, w = problem.output_shape
    result = empty_channels_last((n, c, h, w), arrays[0].dtype, like=arrays[0])
    begin = 0
    for array in arrays:
        end = begin + array.shape[1]
        _copy(channels_last(array), result[:, begin:end])
        begin = end
    return result
