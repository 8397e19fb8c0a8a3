"""A stand-in for CuPy, to find on machines without a GPU what the engine does that CuPy would not.

NumPy computes, and behaves as CuPy 14 where the two differ (CuPy's documentation, "Difference between CuPy and
NumPy", and its source at v14.2.0):

- nothing turns into a NumPy array by itself: `__array__` raises, and only `get()` leads to the host;
- a NumPy array beside a CuPy array, or assigned to one, is an error; NumPy scalars are fine;
- reductions give arrays without axes, not scalars, and take no `initial` and no `where`;
- integer arrays as indices wrap around where they are out of bounds: here that is an error, as nothing would tell;
- `flags` knows the orders in memory and nothing of being writeable;
- what comes from the host lies in order C or F, whatever the strides were there;
- `where` and `clip` answer bfloat16 in float32;
- `add.at` takes few dtypes; `einsum`, `as_strided` and the functions of `ONLY` take fewer arguments;
- `cupy.cuda.driver` is an attribute, not a module that could be imported from.

Kernels run in the emulator. What this cannot show: streams, speed, the memory of a GPU, NVRTC.
`tests/cuda/test_cupy_api.py` compares it with the real CuPy, where that is installed.
"""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from minigrad import device
from minigrad.kernels.cuda import emulated_array, emulated_cuda, launch, recording
from minigrad.kernels.cuda.emulation import EmulatedKernel

GPU = "Stand-in GPU"
ADD_AT = ("float16", "float32", "float64", "int32", "uint32", "uint64")  # `_scatter_op_default` of CuPy
WITHOUT = ("errstate", "nditer", "memmap", "frompyfunc", "char", "ma", "rec")
# The keyword arguments that CuPy's functions take, where NumPy's take more.
ONLY: dict[str, set[str]] = {
    "einsum": {"dtype", "optimize"},
    "as_strided": {"shape", "strides"},
    **{name: {"axis", "dtype", "out", "keepdims"} for name in ("sum", "prod", "mean")},
    **{name: {"axis", "out", "keepdims"} for name in ("max", "min", "amax", "amin", "all", "any")},
    "pad": {"mode", "constant_values"},
}
NO_BFLOAT16 = ("where", "clip")
METHODS = (
    "all any argmax argmin astype clip copy cumsum diagonal dot flatten max mean min nonzero prod ravel repeat "
    "reshape round squeeze std sum swapaxes take transpose var view"
)
OPERATORS = (
    "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift eq ne lt le gt ge "
    "radd rsub rmul rtruediv rfloordiv rmod rpow rmatmul rand ror rxor "
    "iadd isub imul itruediv ifloordiv imod ipow iand ior ixor neg pos abs invert"
)
UFUNCS = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "gt": "greater"}
CREATING = ("zeros", "ones", "full", "arange", "linspace", "eye")


class OutOfBounds(AssertionError):
    """An index that CuPy wraps around without a word."""


class Memory:
    """An allocation (`cupy.cuda.Memory`): one object for all arrays that lie in it."""

    def __init__(self, root: np.ndarray) -> None:
        self.root, self.ptr = root, root.__array_interface__["data"][0]

    @classmethod
    def of(cls, values: np.ndarray) -> Memory:
        root: Any = values
        while getattr(root, "base", None) is not None:
            root = root.base
        known = _memories.get(id(root))
        if known is None:
            known = _memories[id(root)] = cls(root)
        return known


_memories: weakref.WeakValueDictionary[int, Memory] = weakref.WeakValueDictionary()


class ndarray:
    """`cupy.ndarray`. Its values lie in `values`, which nothing outside of this file and the launch reads."""

    __array_priority__ = 100

    def __init__(self, values: np.ndarray) -> None:
        self.values = values.view(emulated_array.EmulatedArray)  # which keeps what is done while it is captured
        self._memory = Memory.of(values)

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)
    strides = property(lambda self: self.values.strides)
    size = property(lambda self: self.values.size)
    ndim = property(lambda self: self.values.ndim)
    itemsize = property(lambda self: self.values.itemsize)
    nbytes = property(lambda self: self.values.nbytes)
    T = property(lambda self: _wrapped(self.values.T))
    base = None  # what is a view is told by its allocation

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self.values.__array_interface__["data"][0], mem=self._memory)

    @property
    def flags(self) -> Any:
        flags = self.values.flags
        return types.SimpleNamespace(
            c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=flags.owndata
        )

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.values.__array_interface__, "version": 3, "stream": 1}

    def __array__(self, *arguments: Any, **options: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return _call(getattr(ufunc, method), inputs, options)

    def get(
        self, stream: Any = None, order: str = "C", out: np.ndarray | None = None, blocking: bool = True
    ) -> np.ndarray:
        recording.refuse("an array is copied to the host")
        if out is None:
            return np.array(self.values, order="C", copy=True)
        out[...] = self.values
        return out

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        if arr.shape != self.shape or arr.dtype != self.dtype or not self.values.flags.c_contiguous:
            raise ValueError(f"Cannot set {self.dtype}{self.shape} to {arr.dtype}{arr.shape}, or not contiguous")
        self.values.set(arr)

    def item(self) -> Any:
        return self.values.item()

    def tobytes(self) -> bytes:
        return self.values.tobytes()

    def tolist(self) -> Any:
        return self.values.tolist()

    def fill(self, value: Any) -> None:
        self.values.fill(_plain(value))

    def __getitem__(self, index: Any) -> ndarray:
        return _wrapped(self.values[self._index(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self.values[self._index(index)] = _plain(value)

    def _index(self, index: Any) -> Any:
        plain = tuple(_plain(i, True) for i in index) if isinstance(index, tuple) else _plain(index, True)
        try:
            self.values[plain]
        except IndexError:
            parts = plain if isinstance(plain, tuple) else (plain,)
            if any(isinstance(part, np.ndarray) and part.dtype.kind in "iu" for part in parts):
                raise OutOfBounds(f"CuPy would wrap the index {index} around in shape {self.shape}") from None
            raise
        return plain

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.values)

    def __int__(self) -> int:
        return int(self.values)

    def __index__(self) -> int:
        return self.values.__index__()

    def __float__(self) -> float:
        return float(self.values)

    def __deepcopy__(self, memo: Any) -> ndarray:
        return ndarray(self.values.copy())

    def __dlpack__(self, **options: Any) -> ndarray:
        return self

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    __hash__ = None  # type: ignore[assignment]


def _method(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *arguments: Any, **options: Any) -> Any:
        _accept(name, options)
        return _widened(name, _call(getattr(self.values, name), arguments, options))

    return method


def _operator(name: str) -> Callable[..., Any]:
    ufunc = UFUNCS.get(name.strip("_"))

    def operator(self: ndarray, *others: Any) -> Any:
        if others and hasattr(others[0], "__cupy_override_elementwise_kernel__"):  # of cupy.ufunc.__call__
            kernel = types.SimpleNamespace(name=f"cupy_{ufunc}")
            return others[0].__cupy_override_elementwise_kernel__(kernel, self, *others)
        plain = [_plain(other) for other in others]
        found = getattr(np.ndarray, name)(self.values, *plain)
        if found is NotImplemented:
            return found
        return self if found is self.values else _wrapped(found)

    return operator


for _name in METHODS.split():
    setattr(ndarray, _name, _method(_name))
for _name in OPERATORS.split():
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))


def _plain(x: Any, host: bool = False) -> Any:
    """An argument as NumPy takes it; raises for an array of the host unless `host` allows it."""
    if isinstance(x, ndarray):
        return x.values
    if isinstance(x, np.ndarray) and not host:
        raise TypeError(f"Unsupported type {type(x)}")
    return type(x)(_plain(item, host) for item in x) if type(x) in (list, tuple) else x


def _wrapped(x: Any) -> Any:
    """What NumPy made, as CuPy gives it: no scalars."""
    if isinstance(x, np.ndarray | np.generic):
        return ndarray(np.asarray(x))
    return type(x)(_wrapped(item) for item in x) if type(x) in (list, tuple) else x


def _call(function: Callable[..., Any], arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    result = function(*_plain(tuple(arguments)), **{name: _plain(value) for name, value in options.items()})
    out = options.get("out")
    return result if out is None and result is None else (out if isinstance(out, ndarray) else _wrapped(result))


def _widened(name: str, result: Any) -> Any:
    return result.astype(np.float32) if name in NO_BFLOAT16 and result.dtype.name == "bfloat16" else result


def _accept(name: str, options: dict[str, Any]) -> None:
    wrong = options.keys() - ONLY[name] if name in ONLY else set()
    if wrong:
        raise TypeError(f"cupy's {name} takes no {', '.join(wrong)}")


class _Ufunc:
    def __init__(self, ufunc: np.ufunc) -> None:
        self.ufunc = ufunc

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if options.keys() - {"out", "dtype", "casting"}:
            raise TypeError(f"cupy's {self.ufunc.__name__} takes no {', '.join(options)}")
        return _call(self.ufunc, arguments, options)

    def at(self, a: ndarray, index: Any, values: ndarray) -> None:
        if a.dtype.name not in ADD_AT:
            raise TypeError(f"scatter_add only supports {', '.join(ADD_AT)}, not {a.dtype}")
        self.ufunc.at(a.values, a._index(index), values.values)


class _Module(types.ModuleType):
    """`cupy`: NumPy's names, on arrays of the stand-in."""

    ndarray = ndarray

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in WITHOUT:
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")
        value = getattr(np, name)
        if isinstance(value, np.ufunc):
            return _Ufunc(value)
        if isinstance(value, type) or not callable(value):
            return value

        def function(*arguments: Any, **options: Any) -> Any:
            _accept(name, options)
            if name in CREATING:
                return _moved(value(*_plain(arguments), **options))
            if value in (np.ascontiguousarray, np.asfortranarray):  # NumPy asks no array what these are to do
                given = _plain(arguments)
                return _wrapped(emulated_array.result_of(lambda: value(*given), emulated_array.arrays_of(given)))
            return _widened(name, _call(value, arguments, options))

        return function

    def empty(self, shape: Any, dtype: Any = float) -> ndarray:
        sizes = shape if isinstance(shape, tuple | list) else (shape,)
        return ndarray(emulated_array.empty(tuple(sizes), dtype))

    def array(self, obj: Any, dtype: Any = None, copy: Any = True, blocking: bool = False) -> ndarray:
        if isinstance(obj, ndarray):
            return ndarray(obj.values.astype(dtype or obj.dtype, order="K"))
        recording.refuse("an array is copied from the host")
        return _moved(np.array(_plain(obj, True), dtype))

    def asarray(self, obj: Any, dtype: Any = None, blocking: bool = False) -> ndarray:
        if isinstance(obj, ndarray) and dtype in (None, obj.dtype):
            return obj
        if hasattr(obj, "__cuda_array_interface__") and not isinstance(obj, ndarray):
            return ndarray(obj.array.values)  # what the tests' own class has
        return self.array(obj, dtype)

    def from_dlpack(self, x: Any) -> ndarray:
        return ndarray(x.__dlpack__(stream=None).values)


def _moved(values: np.ndarray) -> ndarray:
    """A copy in guarded memory, in order C or F."""
    if values.flags.f_contiguous and not values.flags.c_contiguous:
        return ndarray(_moved(values.T).values.T)
    copy = emulated_array.empty(values.shape, values.dtype)
    copy[...] = values
    return ndarray(copy)


def make() -> types.ModuleType:
    """A new module that behaves as `cupy` on a machine with one GPU."""
    cupy = _Module("cupy")
    driver_error = type("CUDADriverError", (RuntimeError,), {})
    runtime_error = type("CUDARuntimeError", (RuntimeError,), {})
    properties = {"name": GPU.encode(), "totalGlobalMem": 80 << 30, "major": 9, "minor": 0}
    cupy.cuda = types.SimpleNamespace(
        is_available=lambda: True,
        driver=types.SimpleNamespace(CUDADriverError=driver_error),
        runtime=types.SimpleNamespace(
            CUDARuntimeError=runtime_error,
            getDevice=lambda: 0,
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda number: properties,
        ),
        memory=types.SimpleNamespace(OutOfMemoryError=type("OutOfMemoryError", (MemoryError,), {})),
        compiler=types.SimpleNamespace(CompileException=type("CompileException", (Exception,), {})),
        Stream=emulated_cuda.Stream,
        get_current_stream=emulated_cuda.get_current_stream,
        MemoryPool=emulated_cuda.MemoryPool,
        using_allocator=emulated_cuda.using_allocator,
        alloc_pinned_memory=emulated_cuda.alloc_pinned_memory,
    )
    cupy.get_default_memory_pool = emulated_cuda.get_default_memory_pool
    strided = types.SimpleNamespace(as_strided=_as_strided)
    cupy.lib = types.SimpleNamespace(stride_tricks=strided)
    return cupy


def _as_strided(x: ndarray, shape: Any = None, strides: Any = None) -> ndarray:
    return ndarray(np.lib.stride_tricks.as_strided(x.values, shape, strides))


class _KernelInTheEmulator:
    """In place of `GpuKernel`: the same launch, by the emulator, on the memory of the stand-in's arrays."""

    def __init__(self, source: Path, kernels: tuple[str, ...], name: str, defines: Any) -> None:
        self._kernel = EmulatedKernel(source, kernels, name, defines)

    def __call__(self, grid: Any, block: Any, arguments: Sequence[Any], shared_bytes: int) -> None:
        emulated = [argument.values if isinstance(argument, ndarray) else argument for argument in arguments]
        self._kernel(grid, block, emulated, shared_bytes)


def install() -> types.ModuleType:
    """From now on, `import cupy` gives the stand-in, and device="cuda" is there."""
    cupy = sys.modules["cupy"] = make()
    launch.GpuKernel = _KernelInTheEmulator  # type: ignore[misc, assignment]
    _forget()
    return cupy


@contextmanager
def installed() -> Iterator[types.ModuleType]:
    """`install`, inside this `with` block."""
    before = sys.modules.get("cupy")
    try:
        with mock.patch.object(launch, "GpuKernel"):
            yield install()
    finally:
        del sys.modules["cupy"]
        if before is not None:
            sys.modules["cupy"] = before
        _forget()


def _forget() -> None:
    for source in launch.SOURCES.values():
        source._kernel.cache_clear()  # kernels remember the way they were launched first
    device._gpu.cache_clear()
