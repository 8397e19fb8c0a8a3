"""Arrays of the device "emulated": NumPy arrays that say so, on memory whose ends are guarded.

An `EmulatedArray` behaves as the ndarray it is. Whatever NumPy makes of one, a view, a sum, one element, is one
again, so that a device is as contagious as CuPy's. Kernels run on it in the emulator (`emulation.py`). While a
graph is captured, operations are kept and not done (`recording.py`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import recording
from .emulated_cuda import belongs_to_the_present_pool

GUARD_BYTES = 4096  # before and behind every buffer
# Methods of arrays that may give a new array, and those by which a value reaches the host.
COPYING = (
    *("argmax", "argmin", "astype", "copy", "cumsum", "dot", "flatten", "nonzero", "ravel", "repeat", "reshape"),
    *("round", "take"),
)
READING = ("__bool__", "__complex__", "__float__", "__index__", "__int__", "item", "tobytes", "tolist")
WRITING = {np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis}
POISON, CANARY = 0xFF, 0xA5  # as in emulator/runtime.h; bytes of 0xFF are a NaN in every floating format


class GuardedMemory(np.ndarray):
    """Bytes, of which the first and the last GUARD_BYTES hold the canary and are nobody's."""


class EmulatedArray(np.ndarray):
    """An ndarray of the device "emulated"."""

    def get(self, stream: Any = None, out: np.ndarray | None = None, blocking: bool = True) -> np.ndarray:
        """A copy as an ordinary array, as CuPy's `get`."""
        recording.refuse("an array is copied to the host")
        if out is None:
            return np.array(self, order="K", subok=False, copy=True)
        out[...] = self
        return out

    def set(self, values: np.ndarray, stream: Any = None) -> None:
        """Take `values` of the host, as CuPy's `set`."""
        recording.refuse("an array is copied from the host")
        self[...] = values

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: tuple[Any, ...] = (), **options: Any
    ) -> Any:
        if any(_is_foreign(x) for x in (*inputs, *out)):
            return NotImplemented
        function = getattr(ufunc, method)
        plain = [_ndarray(x) for x in inputs]
        options = {name: _ndarray(value) for name, value in options.items()}
        if out or method == "at":
            into = {"out": tuple(_ndarray(x) for x in out)} if out else {}
            _change(lambda: function(*plain, **into, **options))
            return (out[0] if len(out) == 1 else out) if out else None
        return result_of(lambda: function(*plain, **options), [x for x in plain if isinstance(x, np.ndarray)])

    def __getitem__(self, key: Any) -> Any:
        return result_of(lambda: super(EmulatedArray, self).__getitem__(key), [self])

    def __setitem__(self, key: Any, value: Any) -> None:
        _change(lambda: super(EmulatedArray, self).__setitem__(key, value))

    def fill(self, value: Any) -> None:
        _change(lambda: super(EmulatedArray, self).fill(value))

    def __array_function__(self, function: Callable[..., Any], types: Any, arguments: Any, options: Any) -> Any:
        call = functools.partial(super().__array_function__, function, types, arguments, options)
        if function in WRITING or options.get("out") is not None:
            return _change(call)
        return result_of(call, arrays_of(arguments))


def _copying(name: str) -> Callable[..., Any]:
    original = getattr(np.ndarray, name)

    @functools.wraps(original)
    def method(self: EmulatedArray, *arguments: Any, **options: Any) -> Any:
        return result_of(lambda: original(self, *arguments, **options), [self])

    return method


def _reading(name: str) -> Callable[..., Any]:
    original = getattr(np.ndarray, name)

    @functools.wraps(original)
    def method(self: EmulatedArray, *arguments: Any, **options: Any) -> Any:
        recording.refuse("a value is read on the host")
        return original(self, *arguments, **options)

    return method


for _name in COPYING:
    setattr(EmulatedArray, _name, _copying(_name))
for _name in READING:
    setattr(EmulatedArray, _name, _reading(_name))


def _ndarray(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, EmulatedArray) else x


def _is_foreign(x: Any) -> bool:
    """Whether an operand has its own say in what an operation on it does."""
    own = getattr(type(x), "__array_ufunc__", np.ndarray.__array_ufunc__)
    return own not in (np.ndarray.__array_ufunc__, EmulatedArray.__array_ufunc__)


def arrays_of(arguments: Any) -> list[np.ndarray]:
    if isinstance(arguments, np.ndarray):
        return [arguments]
    several = isinstance(arguments, tuple | list)
    return [array for item in arguments for array in arrays_of(item)] if several else []


def _change(call: Callable[[], Any]) -> Any:
    """An operation in place: at once, or when what is being captured is replayed."""
    if recording.is_on():
        return recording.keep(call)
    return call()


def result_of(call: Callable[[], Any], inputs: list[np.ndarray]) -> Any:
    """What `call` gives, as EmulatedArrays; while a graph is captured, each replay computes it anew."""
    if not recording.is_on():
        return emulated(call())
    with recording.inside_an_operation():
        result = emulated(call())
    # What lies in an input's memory is a view of it, and needs no work.
    made = [a for a in arrays_of(result) if not any(np.may_share_memory(a, x) for x in inputs)]

    def again() -> None:
        with recording.inside_an_operation():
            values = arrays_of(emulated(call()))
        for array, value in zip(arrays_of(result), values, strict=True):
            np.copyto(_ndarray(array), _ndarray(value))

    if made:
        recording.keep(again)
    return result


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
    belongs_to_the_present_pool(buffer)
    if recording.is_on():
        recording.keep(lambda: buffer.fill(POISON))  # nothing of the replay before may be read
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
