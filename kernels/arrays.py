"""Raw arrays of any device: which library owns one, and how activations lie in memory.

An activation has the logical shape (N, C, H, W) and lies channels-last: its memory order
is N, H, W, C, so that the channels of one pixel are neighbours. Such an array is an
ordinary ndarray whose strides say so; `channels_last` makes one where it has to.
"""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

import numpy as np

from .cuda import emulated_numpy
from .cuda.emulated_array import EmulatedArray

Array = Any  # numpy.ndarray, or cupy.ndarray once CuPy is installed


def array_module(array: Array) -> ModuleType:
    """The library that owns `array` (`xp` in the kernels): NumPy, the emulator's NumPy, or CuPy."""
    if type(array) is np.ndarray:  # asked a thousand times a step
        return np
    if isinstance(array, EmulatedArray):
        return emulated_numpy
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cupy
    return np


def device_of(array: Array) -> str:
    """`"cuda"` for a CuPy array, `"emulated"` for an array of the emulator, `"cpu"` for everything else."""
    if type(array) is np.ndarray:
        return "cpu"
    library = array_module(array)
    return "cpu" if library is np else "emulated" if library is emulated_numpy else "cuda"


def on_host(array: Array) -> np.ndarray:
    """`array` as an ordinary NumPy array: itself on the CPU, a copy from another device.

    CuPy refuses `np.asarray` of its arrays, so that no copy is made unnoticed. What lies channels-last stays so.
    """
    if device_of(array) == "cpu":
        return np.asarray(array)
    if array.ndim == 4 and is_channels_last(array):
        return array.transpose(0, 2, 3, 1).get().transpose(0, 3, 1, 2)
    return array.get()


def write(array: Array, values: np.ndarray) -> None:
    """Copy `values` of the host to `array` on whatever device."""
    if device_of(array) == "cpu":
        array[...] = values
    else:
        array.set(values)


def owner(array: Array) -> Any:
    """What stands for the memory of `array`, one object for all its views.

    It is the array that this one is a view of, or itself; on a GPU the allocation.
    """
    if not isinstance(array, np.ndarray):
        return array.data.mem
    while (base := array.base) is not None:
        if not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)  # as_strided puts an object of its own between a view and its array
            if not isinstance(base, np.ndarray):
                break
        array = base
    return array


@functools.cache
def dtype_name(dtype: np.dtype) -> str:
    """`dtype.name`, which NumPy puts together anew, in microseconds, each time it is asked."""
    return dtype.name


def is_channels_last(array: Array) -> bool:
    """Whether the pixels of (N, C, H, W) `array` are rows of adjacent channels at one fixed distance.

    True for a whole channels-last array and for a channel slice of a larger one; such an array is
    described completely by its first element and the distance between two pixels. An array without elements
    lies in every way.
    """
    if array.size == 0:
        return True
    n, c, h, w = array.shape
    size = array.itemsize
    stride_n, stride_c, stride_h, stride_w = array.strides
    pixel = stride_w if w > 1 else (stride_h if h > 1 else (stride_n if n > 1 else c * size))
    return bool(
        (c == 1 or stride_c == size)
        and pixel >= c * size
        and pixel % size == 0
        and (h == 1 or stride_h == w * pixel)
        and (n == 1 or stride_n == h * w * pixel)
    )
