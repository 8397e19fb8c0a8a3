"""Tensors from data and from shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .device import library
from .kernels.errors import DTypeError, ShapeError
from .tensor import Tensor

Shape = int | Sequence[int]


def sizes(shape: Shape, name: str) -> tuple[int, ...]:
    """`shape`, one size or several, as a tuple of integers.

    Raises:
        ShapeError: if a size is not an integer, or is negative.
    """
    given = tuple(shape) if isinstance(shape, list | tuple) else (shape,)
    if not all(isinstance(n, int | np.integer) and n >= 0 for n in given):
        raise ShapeError(f"{name}: a shape is made of integers from 0 on, got {shape!r}")
    return tuple(int(n) for n in given)


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, device: str = "cpu") -> Tensor:
    """A new Tensor with a copy of `data`.

    Args:
        data: a number, nested lists, an array or a Tensor (whose history is left behind).
        dtype: if None, arrays keep theirs; Python floats become float32, Python integers int64.
        requires_grad: whether gradients are wanted.
        device: "cpu" or "cuda".

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
        array = xp.array(values.get() if device == "cpu" and hasattr(values, "get") else values, dtype=dtype)
    except ValueError as error:
        if "could not convert" in str(error):
            raise DTypeError(f"tensor: {error}") from error
        raise ShapeError(f"tensor: nested lists must have equal lengths: {error}") from error
    except TypeError as error:
        raise DTypeError(
            f"tensor: cannot make numbers of {type(data).__name__} with dtype {dtype}: {error}"
        ) from error
    return Tensor(array, requires_grad)


def _from_python(values: Any) -> np.ndarray:
    """Lists of numbers or of Tensors; real numbers become float32, the usual dtype of weights."""
    if isinstance(values, list | tuple) and any(isinstance(v, Tensor) or hasattr(v, "dtype") for v in values):
        return np.array([np.asarray(v) for v in values])
    array = np.array(values)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def asarray(data: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """A Tensor that shares the memory of `data` where it can; a Tensor comes back as it is."""
    if isinstance(data, Tensor):
        return data.to(device, dtype)
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
    return Tensor(library("cuda" if int(kind) == 2 else "cpu").from_dlpack(x))


def full(
    shape: Shape, fill_value: float, dtype: Any = None, requires_grad: bool = False, device: str = "cpu"
) -> Tensor:
    """A Tensor of `shape` with one value everywhere; float32 for a float if `dtype` is None.

    Raises:
        ShapeError: if a size is negative.
    """
    if dtype is None:
        dtype = np.float32 if isinstance(fill_value, float) else None
    return Tensor(library(device).full(sizes(shape, "full"), fill_value, dtype), requires_grad)


def zeros(shape: Shape, dtype: Any = np.float32, requires_grad: bool = False, device: str = "cpu") -> Tensor:
    """A Tensor of zeros."""
    return full(shape, 0, dtype, requires_grad, device)


def ones(shape: Shape, dtype: Any = np.float32, requires_grad: bool = False, device: str = "cpu") -> Tensor:
    """A Tensor of ones."""
    return full(shape, 1, dtype, requires_grad, device)


def zeros_like(x: Tensor) -> Tensor:
    """Zeros with the shape, dtype and device of `x`."""
    return Tensor(x.xp.zeros_like(x.data))


def ones_like(x: Tensor) -> Tensor:
    """Ones with the shape, dtype and device of `x`."""
    return Tensor(x.xp.ones_like(x.data))


def full_like(x: Tensor, fill_value: float) -> Tensor:
    """One value everywhere, with the shape, dtype and device of `x`."""
    return Tensor(x.xp.full_like(x.data, fill_value))


def arange(
    start: float, stop: float | None = None, step: float = 1, dtype: Any = None, device: str = "cpu"
) -> Tensor:
    """Numbers from `start` (0 if only one is given) up to, but without, `stop`.

    Raises:
        ShapeError: if the step is zero.
    """
    if step == 0:
        raise ShapeError(f"arange: the step from {start} to {stop} must not be zero")
    first, last = (0, start) if stop is None else (start, stop)
    if dtype is None and any(isinstance(number, float) for number in (first, last, step)):
        dtype = np.float32
    return Tensor(library(device).arange(first, last, step, dtype))


def linspace(start: float, stop: float, num: int, dtype: Any = np.float32, device: str = "cpu") -> Tensor:
    """`num` numbers at equal distances from `start` to `stop`, both included.

    Raises:
        ShapeError: if `num` is negative.
    """
    (num,) = sizes(num, "linspace: num")
    return Tensor(library(device).linspace(start, stop, num, dtype=dtype))


def eye(n: int, m: int | None = None, dtype: Any = np.float32, device: str = "cpu") -> Tensor:
    """The identity matrix with n rows and m (or n) columns.

    Raises:
        ShapeError: if a size is negative.
    """
    rows, columns = sizes((n, n if m is None else m), "eye")
    return Tensor(library(device).eye(rows, columns, dtype=dtype))
