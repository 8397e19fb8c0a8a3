"""Copies of many arrays in another dtype: of weights in 16 bits before a step, of their gradients in 32 behind it.

    each(arrays, dtype)          -> arrays that lie by themselves
    side_by_side(arrays, dtype)  -> arrays that lie in one buffer, as products read them

On CUDA both are one launch for all arrays (casts.cu), where a cast a parameter would be a tenth of the launches of
GoogLeNet's training step in 16 bits. Numbers are rounded to the nearest, ties to even.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import Array, device_of
from ..cuda.buffers import address, contiguous, empty, uploaded
from ..cuda.dtypes import REAL
from ..cuda.launch import CudaSource
from .cuda import THREADS, chunks

ALIGNMENT = 16  # bytes; what kernels fetch at once
WIDE, NARROW = ("float32",), ("float16", "bfloat16")

SOURCE = CudaSource(
    "optimizer_steps/casts.cu",
    lambda given: (given["FROM"] == "float") == (given["TO"] == "float"),
    FROM=tuple(REAL[dtype] for dtype in (*WIDE, *NARROW)),
    TO=tuple(REAL[dtype] for dtype in (*WIDE, *NARROW)),
)


def each(arrays: Sequence[Array], dtype: np.dtype) -> list[Array]:
    """C-contiguous copies in `dtype` of arrays of one dtype and device, each in memory of its own."""
    if not _has_kernel(arrays, dtype):
        return [array.astype(dtype) for array in arrays]
    copies = [empty(array.shape, dtype, like=array) for array in arrays]
    _cast(arrays, copies)
    return copies


def side_by_side(arrays: Sequence[Array], dtype: np.dtype) -> list[Array]:
    """Copies in `dtype` of arrays of one dtype and device, in one buffer.

    Arrays of four axes, the filters of convolutions, lie channels-last, all others C-contiguous. Those whose rows
    have one shape follow each other in their order, so that `kernels.concat` finds what is to be joined along
    the first axis lying so already.
    """
    if not _has_kernel(arrays, dtype):
        return [array.astype(dtype) for array in arrays]
    unit = ALIGNMENT // np.dtype(dtype).itemsize
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, array in enumerate(arrays):
        groups.setdefault(array.shape[1:], []).append(number)
    starts, end = {}, 0
    for number in (number for group in groups.values() for number in group):
        starts[number] = end
        end += -(-arrays[number].size // unit) * unit
    buffer = empty((end,), dtype, like=arrays[0])
    copies = [buffer[starts[number] : starts[number] + array.size] for number, array in enumerate(arrays)]
    _cast(arrays, copies, channels_last=True)
    return [_shaped(copy, array.shape) for copy, array in zip(copies, arrays, strict=True)]


def _shaped(copy: Array, shape: tuple[int, ...]) -> Array:
    if len(shape) != 4:
        return copy.reshape(shape)
    k, c, r, s = shape
    return copy.reshape(k, r, s, c).transpose(0, 3, 1, 2)


def _has_kernel(arrays: Sequence[Array], dtype: np.dtype) -> bool:
    """Whether a kernel casts these arrays; else the array library does, one by one."""
    if not arrays or device_of(arrays[0]) == "cpu":
        return False
    names = arrays[0].dtype.name, np.dtype(dtype).name
    return (names[0] in WIDE and names[1] in NARROW) or (names[0] in NARROW and names[1] in WIDE)


def _cast(sources: Sequence[Array], targets: Sequence[Array], channels_last: bool = False) -> None:
    """Fill C-contiguous `targets` with the numbers of `sources`, filters in the order (k, tap, c) if asked."""
    sources = [contiguous(array) for array in sources]
    tensors, starts, lengths = chunks(tuple(array.size for array in sources))
    filters = [array.shape if channels_last and array.ndim == 4 else (0, 0, 1, 1) for array in sources]
    table = np.zeros((len(tensors), 6), np.int64)  # `Chunk` of casts.cu
    table[:, 0] = np.array([address(array) for array in sources])[tensors]
    table[:, 1] = np.array([address(array) for array in targets])[tensors] + starts * targets[0].itemsize
    table[:, 2], table[:, 3] = starts, lengths
    table[:, 4:] = np.array([(c, r * s) for _, c, r, s in filters])[tensors]
    kernel = SOURCE.kernel("cast", FROM=REAL[sources[0].dtype.name], TO=REAL[targets[0].dtype.name])
    kernel((len(tensors),), (THREADS,), uploaded(table, sources[0]), reaches=[*sources, *targets])
