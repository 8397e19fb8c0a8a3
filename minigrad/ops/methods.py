"""The operators and methods of Tensor, as a table from name to operation.

They are attached here, above the operations, so that the Tensor itself depends on none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .. import device as devices
from ..tensor import Tensor
from . import elementwise, indexing, linalg, numpy_functions, reductions, shape


def _reflected(operation: Callable[..., Tensor]) -> Callable[[Tensor, Any], Tensor]:
    return lambda x, other: operation(other, x)


def _transpose(x: Tensor, *axes: Any) -> Tensor:
    """The axes in another order, in reverse order if none are given; as `numpy.ndarray.transpose`."""
    order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    return shape.permute_dims(x, tuple(order) if order else tuple(range(x.ndim))[::-1])


def _iterate(x: Tensor) -> Iterator[Tensor]:
    if x.ndim == 0:
        raise TypeError("cannot iterate over a Tensor without axes")
    return (x[i] for i in range(len(x)))


def _to(x: Tensor, device: str | None = None, dtype: Any = None) -> Tensor:
    """The same values on `device` ("cpu", "cuda") and with `dtype`; the Tensor itself where nothing changes."""
    moved = x if device is None or device == x.device else devices.transfer(x, device)
    return moved if dtype is None or moved.dtype == dtype else elementwise.astype(moved, dtype)


def _comparison(operation: Callable[..., Tensor]) -> Callable[[Tensor, Any], Tensor]:
    """`==` or `!=`; beside None or a text, which no element can be, Python's own answer for different objects."""
    return lambda x, other: NotImplemented if other is None or isinstance(other, str) else operation(x, other)


METHODS: dict[str, Any] = {
    "__add__": elementwise.add,
    "__radd__": _reflected(elementwise.add),
    "__sub__": elementwise.subtract,
    "__rsub__": _reflected(elementwise.subtract),
    "__mul__": elementwise.multiply,
    "__rmul__": _reflected(elementwise.multiply),
    "__truediv__": elementwise.divide,
    "__rtruediv__": _reflected(elementwise.divide),
    "__floordiv__": elementwise.floor_divide,
    "__rfloordiv__": _reflected(elementwise.floor_divide),
    "__mod__": elementwise.remainder,
    "__rmod__": _reflected(elementwise.remainder),
    "__pow__": elementwise.pow,
    "__rpow__": _reflected(elementwise.pow),
    "__matmul__": linalg.matmul,
    "__rmatmul__": _reflected(linalg.matmul),
    "__neg__": elementwise.negative,
    "__pos__": elementwise.positive,
    "__abs__": elementwise.absolute,
    "__invert__": elementwise.bitwise_invert,
    "__and__": elementwise.bitwise_and,
    "__or__": elementwise.bitwise_or,
    "__xor__": elementwise.bitwise_xor,
    "__eq__": _comparison(elementwise.equal),
    "__ne__": _comparison(elementwise.not_equal),
    "__lt__": elementwise.less,
    "__le__": elementwise.less_equal,
    "__gt__": elementwise.greater,
    "__ge__": elementwise.greater_equal,
    "__getitem__": indexing.getitem,
    "__iter__": _iterate,
    "__array_ufunc__": numpy_functions.array_ufunc,
    "__array_function__": numpy_functions.array_function,
    "__cupy_override_elementwise_kernel__": numpy_functions.cupy_kernel,
    "T": property(_transpose),
    "mT": property(shape.matrix_transpose),
    "astype": elementwise.astype,
    "copy": shape.copy,
    "to": _to,
    "reshape": shape.reshape,
    "transpose": _transpose,
    "squeeze": shape.squeeze,
    "flatten": shape.flatten,
    "clip": elementwise.clip,
    "abs": elementwise.absolute,
    **{name: getattr(elementwise, name) for name in ("exp", "log", "sqrt", "tanh", "sigmoid")},
    **{
        name: getattr(reductions, name)
        for name in ("sum", "mean", "max", "min", "var", "std", "prod", "argmax", "argmin", "all", "any")
    },
}

for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
