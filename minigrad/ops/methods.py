"""The operators and methods of Tensor, as a table from name to operation.

They are attached here, above the operations, so that the Tensor itself depends on none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import device as devices
from ..tensor import Tensor
from . import elementwise, indexing, linalg, reductions, shape


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


# NumPy's functions that have another name here.
RENAMED = {
    "power": "pow",
    "absolute": "abs",
    "true_divide": "divide",
    "invert": "bitwise_invert",
    "concatenate": "concat",
    "transpose": "transpose",
    "cumsum": "cumulative_sum",
    "amax": "max",
    "amin": "min",
    "around": "round",
}
_FUNCTIONS = {
    **vars(shape),
    **vars(indexing),
    **vars(reductions),
    **vars(linalg),
    **elementwise.OPERATIONS,
    "astype": elementwise.astype,
    "clip": elementwise.clip,
    "transpose": _transpose,
}


def _array_ufunc(x: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """`numpy.exp(tensor)` and `ndarray + tensor` are our own operations, on the tape."""
    operation = elementwise.OPERATIONS.get(RENAMED.get(ufunc.__name__, ufunc.__name__))
    if ufunc.__name__ == "matmul":
        operation = linalg.matmul
    if operation is None or method != "__call__" or options:
        return NotImplemented
    return operation(*inputs)


def _array_function(x: Tensor, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
    """`numpy.sum(tensor)` is our own operation where there is one; else NumPy's, on the values, off the tape."""
    operation = _FUNCTIONS.get(RENAMED.get(function.__name__, function.__name__))
    if callable(operation) and function.__module__ == "numpy":
        return operation(*args, **kwargs)
    return function(*_values(args), **{name: _values(value) for name, value in kwargs.items()})


def _values(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.numpy()
    return type(x)(_values(item) for item in x) if isinstance(x, list | tuple) else x


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
    "__array_ufunc__": _array_ufunc,
    "__array_function__": _array_function,
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
