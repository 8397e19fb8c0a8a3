"""Reductions over axes, and running sums. The results keep the dtype rules of NumPy."""

from __future__ import annotations

import math
import numbers
from typing import Any

from ..autograd import Function, apply
from ..kernels.arrays import Array, array_module
from ..kernels.errors import DTypeError, MinigradError, ShapeError
from ..tensor import Tensor, is_floating
from .axes import Axis, normalize_axes
from .elementwise import where
from .operands import as_tensor
from .shape import broadcast_to, flip


class Reduction(Function):
    """Base of the reductions over `axes` (each once, not negative)."""

    method: str

    def __init__(self, axes: tuple[int, ...], keepdims: bool) -> None:
        self.axes, self.keepdims = axes, keepdims
        self.name = self.method

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        try:
            return getattr(x, self.method)(axis=self.axes, keepdims=self.keepdims)
        except ValueError as error:
            raise ShapeError(f"{self.name} over axes {self.axes} of shape {x.shape}: {error}") from error

    def spread(self, values: Tensor) -> Tensor:
        """A Tensor of the output's shape, stretched back over the axes that were reduced."""
        if not self.keepdims:
            values = values.reshape(tuple(1 if i in self.axes else n for i, n in enumerate(self.shape)))
        return broadcast_to(values, self.shape)


class Sum(Reduction):
    method = "sum"
    saves_inputs = False

    def backward(self, gradient: Tensor) -> Tensor:
        return self.spread(gradient)


class Mean(Reduction):
    method = "mean"
    saves_inputs = False

    def backward(self, gradient: Tensor) -> Tensor:
        count = math.prod(self.shape[i] for i in self.axes)
        return self.spread(gradient * (1.0 / count)) if count else self.spread(gradient)


class Max(Reduction):
    """Elements that tie share the gradient evenly."""

    method = "max"
    saves_output = True

    def backward(self, gradient: Tensor) -> Tensor:
        chosen = (self.inputs[0] == self.spread(self.output)).astype(gradient.dtype)
        return self.spread(gradient / chosen.sum(self.axes, self.keepdims)) * chosen


class Min(Max):
    method = "min"


class Prod(Reduction):
    method = "prod"
    saves_output = True

    def backward(self, gradient: Tensor) -> Tensor:
        (x,) = self.inputs
        if (x != 0).all().item():
            return self.spread(gradient * self.output) / x
        # With a zero among the factors y / x does not exist: multiply all the others, for each factor apart.
        kept = tuple(i for i in range(x.ndim) if i not in self.axes)
        order = kept + self.axes
        shape = tuple(x.shape[i] for i in order)
        n = math.prod(x.shape[i] for i in self.axes)
        factors = x.transpose(order).reshape((*shape[: len(kept)], 1, n))
        others = where(Tensor(x.xp.eye(n, dtype=bool)), 1.0, factors).prod(-1)
        back = tuple(order.index(i) for i in range(x.ndim))
        return self.spread(gradient) * others.reshape(shape).transpose(back)


class CumulativeSum(Function):
    """y[i] = x[0] + ... + x[i] along one axis."""

    saves_inputs = False

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return x.cumsum(axis=self.axis)

    def backward(self, gradient: Tensor) -> Tensor:
        return flip(cumulative_sum(flip(gradient, self.axis), self.axis), self.axis)


class ArgMax(Function):
    differentiable = False

    def __init__(self, method: str, axis: int | None, keepdims: bool) -> None:
        self.name = self.method = method
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x: Array) -> Array:
        if (x.size if self.axis is None else x.shape[self.axis]) == 0:
            raise ShapeError(f"{self.name}: there is nothing to choose from in shape {x.shape}")
        return getattr(array_module(x), self.method)(x, axis=self.axis, keepdims=self.keepdims)


class Logical(Reduction):
    differentiable = False

    def __init__(self, method: str, axes: tuple[int, ...], keepdims: bool) -> None:
        self.method = method
        super().__init__(axes, keepdims)


def _reduce(function: type[Reduction], x: Any, axis: Axis, keepdims: bool) -> Tensor:
    name = function.__name__.lower()
    x = as_tensor(x, name)
    return apply(function(normalize_axes(axis, x.ndim, name), keepdims), x)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis` (all axes if None). Integers add up in int64."""
    return _reduce(Sum, x, axis, keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over `axis`."""
    return _reduce(Mean, x, axis, keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over `axis`; elements that tie share the gradient evenly."""
    return _reduce(Max, x, axis, keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over `axis`; elements that tie share the gradient evenly."""
    return _reduce(Min, x, axis, keepdims)


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over `axis`; its gradient is right where factors are zero, too."""
    return _reduce(Prod, x, axis, keepdims)


def var(x: Any, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance over `axis`: sum of (x - mean)^2 / (n - correction).

    `correction` is 0 by default, as in the Array API; PyTorch's default is 1.
    """
    x = as_tensor(x, "var")
    if not is_floating(x.dtype):
        raise DTypeError(f"var: real numbers are needed, not {x.dtype}; use astype first")
    if isinstance(correction, bool) or not isinstance(correction, numbers.Real):
        raise MinigradError(f"var: correction must be a number, got {correction!r}")
    axes = normalize_axes(axis, x.ndim, "var")
    n = math.prod(x.shape[i] for i in axes)
    deviation = x - mean(x, axes, keepdims=True)
    total = sum(deviation * deviation, axes, keepdims)
    return total / (n - correction) if n > correction else total * math.nan


def std(x: Any, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The standard deviation over `axis`: the square root of `var`. Where it is 0, so is its gradient."""
    variance = var(x, axis, correction, keepdims)
    zero = variance == 0
    return where(zero, 0.0, where(zero, 1.0, variance).sqrt())


def cumulative_sum(x: Any, axis: int | None = None) -> Tensor:
    """Running sums along `axis`, which may be left out for one dimension.

    Raises:
        ShapeError: if the axis does not exist, or is left out where there are several.
    """
    x = as_tensor(x, "cumulative_sum")
    if axis is None:
        if x.ndim != 1:
            raise ShapeError(f"cumulative_sum: name an axis of the {x.ndim} dimensions of shape {x.shape}")
        axis = 0
    return apply(CumulativeSum(*normalize_axes(axis, x.ndim, "cumulative_sum")), x)


def _arg(method: str, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    x = as_tensor(x, method)
    if axis is not None:
        (axis,) = normalize_axes(axis, x.ndim, method)
    return apply(ArgMax(method, axis, keepdims), x)


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index (int64) of the first largest element along `axis`, or in the flattened array if None."""
    return _arg("argmax", x, axis, keepdims)


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index (int64) of the first smallest element along `axis`, or in the flattened array if None."""
    return _arg("argmin", x, axis, keepdims)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all elements over `axis` are true (not zero)."""
    x = as_tensor(x, "all")
    return apply(Logical("all", normalize_axes(axis, x.ndim, "all"), keepdims), x)


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any element over `axis` is true (not zero)."""
    x = as_tensor(x, "any")
    return apply(Logical("any", normalize_axes(axis, x.ndim, "any"), keepdims), x)
