"""Where the results of CUDA kernels go, and how kernels are told where an activation lies.

One function allocates for both devices: on "emulated" it gives guarded memory full of poison.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, array_module, device_of, is_channels_last
from . import emulated_array, recording
from .graph import fill_afterwards, is_capturing, lasting_memory


def empty(shape: tuple[int, ...], dtype: Any, like: Array) -> Array:
    """An uninitialised C-contiguous array on the device of `like`."""
    if isinstance(like, np.ndarray):
        return emulated_array.empty(shape, dtype)
    return array_module(like).empty(shape, dtype)


def empty_channels_last(shape: tuple[int, int, int, int], dtype: Any, like: Array) -> Array:
    """An uninitialised (N, C, H, W) array that lies channels-last, on the device of `like`."""
    n, c, h, w = shape
    return empty((n, h, w, c), dtype, like).transpose(0, 3, 1, 2)


def channels_last(array: Array) -> Array:
    """`array` (N, C, H, W) as it is if it lies channels-last, else a channels-last copy."""
    if is_channels_last(array):
        return array
    copy = empty_channels_last(array.shape, array.dtype, array)
    copy[...] = array
    return copy


def contiguous(array: Array) -> Array:
    """`array` as it is if it is C-contiguous, else a copy that is."""
    return array if array.flags.c_contiguous else array_module(array).ascontiguousarray(array)


_tables: dict[tuple[str, str, bytes], Array] = {}
MOST_TABLES = 256


def uploaded(table: np.ndarray, like: Array) -> Array:
    """A small C-contiguous `table` on the device of `like`, to be read only; the same one for the same numbers.

    So a step that does what the last one did copies nothing to the device. A graph that is being captured gets a
    table of its own, which is filled before its first launch.
    """
    if is_capturing():
        with recording.inside_an_operation():  # else the emulator would poison it at each launch
            own = empty(table.shape, table.dtype, like)
        fill_afterwards(own, table)
        return own
    key = f"{device_of(like)} {getattr(like, 'device', '')}", f"{table.dtype}{table.shape}", table.tobytes()
    kept = _tables.pop(key, None)
    if kept is None:
        xp = array_module(like)
        with lasting_memory(xp):  # it may be of use long after the stream that is being worked on
            kept = xp.asarray(table)
        if len(_tables) >= MOST_TABLES:
            del _tables[next(iter(_tables))]
    _tables[key] = kept  # what was used last stands last
    return kept


def pixel_distance(array: Array) -> int:
    """From one pixel to the next of a channels-last (N, C, H, W) array, in elements.

    Channel c of pixel (n*H + h)*W + w lies so many times that number of elements, and c, behind the first.
    """
    n, c, h, w = array.shape
    stride_n, _, stride_h, stride_w = array.strides
    pixel = stride_w if w > 1 else (stride_h if h > 1 else (stride_n if n > 1 else c * array.itemsize))
    return int(pixel) // int(array.itemsize)


def address(array: Array) -> int:
    """Of the first element, in the memory of its device."""
    if isinstance(array, np.ndarray):
        return int(array.__array_interface__["data"][0])
    return int(array.data.ptr)


def vector_width(channels: int, *arrays: Array) -> int:
    """How many neighbouring channels of channels-last `arrays` a thread takes at once.

    As many as are 16 bytes of the largest element type, where every pixel begins at a multiple of that; else one.
    """
    width = 16 // max(array.itemsize for array in arrays)
    whole = all(
        channels % width == 0
        and pixel_distance(array) % width == 0
        and address(array) % (width * array.itemsize) == 0
        for array in arrays
    )
    return width if whole else 1
