"""Arrays of the device "emulated": NumPy arrays that say so, on memory whose ends are guarded.

An `EmulatedArray` behaves as the ndarray it is. Whatever NumPy makes of one, a view, a sum, one element, is one
again, so that a device is as contagious as CuPy's. Kernels run on it in the emulator (`emulation.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

GUARD_BYTES = 4096  # before and behind every buffer
POISON, CANARY = 0xFF, 0xA5  # as in emulator/runtime.h; bytes of 0xFF are a NaN in every floating format


class GuardedMemory(np.ndarray):
    """Bytes, of which the first and the last GUARD_BYTES hold the canary and are nobody's."""


class EmulatedArray(np.ndarray):
    """An ndarray of the device "emulated"."""

    def get(self) -> np.ndarray:
        """A copy as an ordinary array, as CuPy's `get`."""
        return np.array(self, order="K", subok=False, copy=True)

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return np.asarray(array).view(EmulatedArray)  # also of what would be a scalar: the device must not be lost

    def __getitem__(self, key: Any) -> Any:
        return emulated(super().__getitem__(key))

    def __array_function__(self, function: Callable[..., Any], types: Any, arguments: Any, options: Any) -> Any:
        return emulated(super().__array_function__(function, types, arguments, options))


def emulated(result: Any) -> Any:
    """Arrays and NumPy scalars as EmulatedArrays, also inside of tuples and lists; other things as they are."""
    if isinstance(result, EmulatedArray):
        return result
    if isinstance(result, np.ndarray | np.generic):
        return np.asarray(result).view(EmulatedArray)
    if isinstance(result, tuple | list) and any(isinstance(item, np.ndarray) for item in result):
        items = [emulated(item) for item in result]
        return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
    return result


def empty(shape: tuple[int, ...], dtype: Any) -> EmulatedArray:
    """A C-contiguous array of guarded memory that holds poison."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    padded = -(-size // 64) * 64
    memory = np.empty(padded + 2 * GUARD_BYTES + 64, np.uint8)
    start = -(memory.ctypes.data + GUARD_BYTES) % 64  # so that the buffer begins at a multiple of 64
    memory = memory[start : start + size + 2 * GUARD_BYTES]
    memory[:GUARD_BYTES] = CANARY
    memory[GUARD_BYTES + size :] = CANARY
    buffer = memory.view(GuardedMemory)[GUARD_BYTES : GUARD_BYTES + size]
    buffer[:] = POISON
    return buffer.view(EmulatedArray).view(dtype).reshape(shape)


def guards(array: EmulatedArray) -> tuple[int, int] | None:
    """The addresses of the guards before and behind the buffer that `array` lies in; None where it has none."""
    memory: Any = array
    while memory is not None and not isinstance(memory, GuardedMemory):
        memory = getattr(memory, "base", None)
    if memory is None or not memory.nbytes:  # NumPy does not move the address of a slice without elements
        return None
    start = int(memory.ctypes.data)
    return start - GUARD_BYTES, start + memory.nbytes


def first_poisoned(array: EmulatedArray) -> tuple[int, ...] | None:
    """The index of the first element, of floating type, that is still poison; None if there is none."""
    if not array.size or array.dtype.kind in "biu":
        return None
    bits = np.asarray(array).view(f"u{array.itemsize}")
    unwritten = bits == np.iinfo(bits.dtype).max
    if not unwritten.any():
        return None
    return tuple(int(i) for i in np.unravel_index(unwritten.argmax(), array.shape))
