"""Tensors from data and from shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .device import library, placed
from .kernels.arrays import device_of, on_host
from .kernels.cpu.recording import again
from .kernels.errors import DTypeError, ShapeError
from .tensor import Tensor

Shape = int | Sequence[int]
DLPACK_CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged of dlpack.h
MOST_ELEMENTS = 1 << 59  # of 16 bytes at the most: what NumPy can address


def sizes(shape: Shape, name: str) -> tuple[int, ...]:
    """`shape`, one size or several, as a tuple of integers.

    Raises:
        ShapeError: if a size is not an integer, or is negative, or there are more elements than can be addressed.
    """
    given = tuple(shape) if isinstance(shape, list | tuple) else (shape,)
    if not all(isinstance(n, int | np.integer) and n >= 0 for n in given):
        raise ShapeError(f"{name}: a shape is made of integers from 0 on, got {shape!r}")
    if math.prod(max(1, int(n)) for n in given) > MOST_ELEMENTS:
        raise ShapeError(f"{name}: an array of the shape {shape!r} is larger than any memory")
    return tuple(int(n) for n in given)


def known_dtype(dtype: Any, name: str) -> np.dtype:
    """`dtype`, a name or a type of numbers, as a NumPy dtype.

    Raises:
        DTypeError: if there is none of that name, or it is not one of numbers or booleans.
    """
    try:
        known = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):
        raise DTypeError(f"{name}: there is no dtype {dtype!r}; write one as in 'float32' or 'int64'") from None
    if known.kind not in "biufc" and known.name != "bfloat16":
        raise DTypeError(f"{name}: a Tensor holds numbers or booleans, not dtype {dtype!r}")
    return known


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, device: str = "cpu") -> Tensor:
    """A new Tensor with a copy of `data`.

    Args:
        data: a number, nested lists, an array or a Tensor (whose history is left behind).
        dtype: if None, arrays keep theirs; Python floats become float32, Python integers int64.
        requires_grad: whether gradients are wanted.
        device: "cpu", "cuda" or "emulated".

    Raises:
        ShapeError: if nested lists have different lengths.
        DTypeError: if `data` holds no numbers, or `dtype` does not exist.
        DeviceError: if the device is not there.
    """
    xp = library(device)
    values = data.data if isinstance(data, Tensor) else data
    try:
        if not hasattr(values, "dtype"):
            values = _from_python(values)
            _require_range(values, dtype)
        with np.errstate(invalid="raise"):
            if device_of(values) == device:
                array = again(lambda: xp.array(values, dtype=dtype))
            else:
                array = again(lambda: placed(np.array(on_host(values), dtype=dtype), xp))
    except ValueError as error:
        if "could not convert" in str(error):
            raise DTypeError(f"tensor: {error}") from error
        raise ShapeError(f"tensor: nested lists must have equal lengths: {error}") from error
    except (TypeError, OverflowError, FloatingPointError) as error:
        raise DTypeError(
            f"tensor: cannot make numbers of {type(data).__name__} with dtype {dtype}: {error}"
        ) from error
    return Tensor(array, requires_grad)


def _require_range(values: np.ndarray, dtype: Any) -> None:
    """Raise an OverflowError where an integer dtype cannot hold integers that a person wrote down."""
    if dtype is not None and values.size and values.dtype.kind in "iu" and np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        lowest, highest = int(values.min()), int(values.max())
        if lowest < limits.min or highest > limits.max:
            raise OverflowError(f"{lowest if lowest < limits.min else highest} is out of its range")


def _from_python(values: Any) -> np.ndarray:
    """Lists of numbers or of Tensors; real numbers become float32, the usual dtype of weights."""
    if isinstance(values, list | tuple) and any(isinstance(v, Tensor) or hasattr(v, "dtype") for v in values):
        return np.array([v.numpy() if isinstance(v, Tensor) else on_host(v) for v in values])
    array = np.array(values)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def asarray(data: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """A Tensor that shares the memory of `data` where it can; a Tensor comes back as it is.

    Arrays of other libraries on a GPU (`__cuda_array_interface__`) are shared, too, and stay there unless `device`
    says otherwise.
    """
    if isinstance(data, Tensor):
        return data.to(device, dtype)
    if device_of(data) == "cpu" and hasattr(data, "__cuda_array_interface__"):
        return Tensor(library("cuda").asarray(data)).to(device, dtype)
    if hasattr(data, "strides") and (dtype is None or data.dtype == dtype):
        return Tensor(data).to(device)
    return tensor(data, dtype, device=device or "cpu")


def from_dlpack(x: Any) -> Tensor:
    """A Tensor over the memory of another library's array, through the DLPack protocol, without a copy.

    Raises:
        DTypeError: if `x` does not speak DLPack.
    """
    if not hasattr(x, "__dlpack_device__"):
        raise DTypeError(f"from_dlpack: {type(x).__name__} has no __dlpack__ method; use mg.asarray")
    kind, _ = x.__dlpack_device__()
    return Tensor(library("cuda" if int(kind) in DLPACK_CUDA else "cpu").from_dlpack(x))


def full(
    shape: Shape, fill_value: float, dtype: Any = None, requires_grad: bool = False, device: str = "cpu"
) -> Tensor:
    """A Tensor of `shape` with one value everywhere; float32 for a float if `dtype` is None.

    Raises:
        ShapeError: if a size is negative.
        DTypeError: if the dtype does not exist or cannot hold the value.
    """
    return _filled("full", shape, fill_value, dtype, requires_grad, device)


def _filled(name: str, shape: Shape, value: Any, dtype: Any, requires_grad: bool, device: str) -> Tensor:
    if dtype is None and isinstance(value, float):
        dtype = np.float32
    known = None if dtype is None else known_dtype(dtype, name)
    size = sizes(shape, name)
    try:
        with np.errstate(invalid="raise"):
            filled = Tensor(again(lambda: library(device).full(size, value, known)))
    except (TypeError, ValueError, OverflowError, FloatingPointError):
        held = "a Tensor" if known is None else known
        raise DTypeError(f"{name}: {value!r} is no number that {held} can hold") from None
    return Tensor(filled.data, requires_grad)


def zeros(shape: Shape, dtype: Any = np.float32, requires_grad: bool = False, device: str = "cpu") -> Tensor:
    """A Tensor of zeros; errors as in `full`."""
    return _filled("zeros", shape, 0.0, dtype, requires_grad, device)


def ones(shape: Shape, dtype: Any = np.float32, requires_grad: bool = False, device: str = "cpu") -> Tensor:
    """A Tensor of ones; errors as in `full`."""
    return _filled("ones", shape, 1.0, dtype, requires_grad, device)


def zeros_like(x: Tensor) -> Tensor:
    """Zeros with the shape, dtype and device of `x`. Raises DTypeError if it is no Tensor."""
    xp = _a_tensor(x, "zeros_like").xp
    return Tensor(again(lambda: xp.zeros_like(x.data)))


def ones_like(x: Tensor) -> Tensor:
    """Ones with the shape, dtype and device of `x`. Raises DTypeError if it is no Tensor."""
    xp = _a_tensor(x, "ones_like").xp
    return Tensor(again(lambda: xp.ones_like(x.data)))


def full_like(x: Tensor, fill_value: float) -> Tensor:
    """One value everywhere, with the shape, dtype and device of `x`.

    Raises:
        DTypeError: if `x` is no Tensor, or its dtype cannot hold the value.
    """
    _a_tensor(x, "full_like")
    try:
        with np.errstate(invalid="raise"):
            return Tensor(again(lambda: x.xp.full_like(x.data, fill_value)))
    except (TypeError, ValueError, OverflowError, FloatingPointError):
        raise DTypeError(f"full_like: {fill_value!r} is no number that {x.dtype} can hold") from None


def _a_tensor(x: Any, name: str) -> Tensor:
    if not isinstance(x, Tensor):
        raise DTypeError(f"{name}: a Tensor is needed, not {type(x).__name__}; use mg.tensor")
    return x


def arange(
    start: float, stop: float | None = None, step: float = 1, dtype: Any = None, device: str = "cpu"
) -> Tensor:
    """Numbers from `start` (0 if only one is given) up to, but without, `stop`.

    Raises:
        ShapeError: if the step is zero, or there are more numbers than can be addressed.
        DTypeError: if the dtype does not exist, or what is given are no finite numbers.
    """
    first, last = (0, start) if stop is None else (start, stop)
    for name, value in (("start", first), ("stop", last), ("step", step)):
        _finite(value, f"arange: {name}")
    if step == 0:
        raise ShapeError(f"arange: the step from {first} to {last} must not be zero")
    if (last - first) / step > MOST_ELEMENTS:
        raise ShapeError(f"arange: from {first} to {last} by {step} are more numbers than any memory holds")
    if dtype is None and any(isinstance(number, float) for number in (first, last, step)):
        dtype = np.float32
    dtype = None if dtype is None else known_dtype(dtype, "arange")
    try:
        return Tensor(library(device).arange(first, last, step, dtype))
    except (TypeError, OverflowError) as error:
        raise DTypeError(f"arange: {dtype} cannot count from {first} to {last} by {step}: {error}") from None


def linspace(start: float, stop: float, num: int, dtype: Any = np.float32, device: str = "cpu") -> Tensor:
    """`num` numbers at equal distances from `start` to `stop`, both included.

    Raises:
        ShapeError: if `num` is negative.
        DTypeError: if the dtype does not exist, or `start` or `stop` is no finite number.
    """
    (num,) = sizes(num, "linspace: num")
    for name, value in (("start", start), ("stop", stop)):
        _finite(value, f"linspace: {name}")
    return Tensor(library(device).linspace(start, stop, num, dtype=known_dtype(dtype, "linspace")))


def _finite(value: Any, name: str) -> None:
    known = isinstance(value, int | float | np.integer | np.floating)
    if not known or value != value or value in (math.inf, -math.inf):
        raise DTypeError(f"{name} must be a finite number, got {value!r}")


def eye(n: int, m: int | None = None, dtype: Any = np.float32, device: str = "cpu") -> Tensor:
    """The identity matrix with n rows and m (or n) columns.

    Raises:
        ShapeError: if a size is negative.
        DTypeError: if the dtype does not exist.
    """
    rows, columns = sizes((n, n if m is None else m), "eye")
    return Tensor(library(device).eye(rows, columns, dtype=known_dtype(dtype, "eye")))
