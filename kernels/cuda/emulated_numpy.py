"""NumPy whose arrays lie on the device "emulated": what `xp` is for them in the kernels and the engine.

`xp.zeros(3)` is an EmulatedArray, `xp.float32` is NumPy's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import emulated_cuda as cuda
from . import recording
from .emulated_array import EmulatedArray, arrays_of, empty, result_of
from .emulated_cuda import get_default_memory_pool

__all__ = ["cuda", "get_default_memory_pool"]

_FROM_THE_HOST = (np.array, np.asarray, np.from_dlpack, np.frombuffer)
_CREATING = ("array", "asarray", "zeros", "ones", "full", "arange", "linspace", "eye", "from_dlpack", "frombuffer")


def _guarded(function: Callable[..., Any]) -> Callable[..., EmulatedArray]:
    @functools.wraps(function)
    def create(*arguments: Any, **options: Any) -> EmulatedArray:
        given = arrays_of(arguments)
        if any(isinstance(array, EmulatedArray) for array in given):
            return result_of(lambda: function(*arguments, **options), given)
        if function in _FROM_THE_HOST:
            recording.refuse("an array is copied from the host")
        array = function(*arguments, **options)
        if isinstance(array, EmulatedArray):
            return array
        if not array.size or array.dtype.hasobject:
            return array.view(EmulatedArray)
        # The order of the axes in memory is kept, so that channels-last arrays stay so.
        order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
        result = empty(tuple(array.shape[axis] for axis in order), array.dtype)
        result = result.transpose([order.index(axis) for axis in range(array.ndim)])
        result[...] = array
        return result

    return create


@functools.cache
def __getattr__(name: str) -> Any:
    value = getattr(np, name)
    if name in _CREATING:
        return _guarded(value)
    if isinstance(value, np.ufunc | type) or not callable(value):
        return value

    @functools.wraps(value)
    def function(*arguments: Any, **options: Any) -> Any:
        return result_of(lambda: value(*arguments, **options), arrays_of(arguments))

    return function
