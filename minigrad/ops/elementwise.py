"""Elementwise operations. The rules are data: one entry an operation.

`g` is the gradient of the output, `y` the output, `a` and `b` the inputs. An entry says in
`uses` which of them its gradients read ("y" the output, "x" the inputs), and whether it is `multilinear`, so that
the tape keeps no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Function, apply
from ..casts import Cast
from ..kernels.arrays import Array, array_module
from ..kernels.errors import DTypeError, ShapeError
from ..tensor import Tensor
from .operands import as_operands, as_tensor

GradientRule = Callable[..., Tensor | None]
Operation = Callable[..., Tensor]


@dataclass(frozen=True)
class Rule:
    """One elementwise operation: `forward(xp, *arrays)` and, for each input, `gradient(g, y, *inputs)`."""

    name: str
    forward: Callable[..., Array]
    gradients: tuple[GradientRule, ...]
    uses: str = "x"
    multilinear: bool = False


OPERATIONS: dict[str, Operation] = {}


class Elementwise(Function):
    """An elementwise operation with broadcasting, by its rule."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self.name = rule, rule.name
        self.differentiable = bool(rule.gradients)
        self.saves_inputs = "x" in rule.uses
        self.saves_output = "y" in rule.uses
        self.multilinear = rule.multilinear

    def forward(self, *arrays: Any) -> Array:
        array = next(a for a in arrays if hasattr(a, "strides"))
        try:
            return self.rule.forward(array_module(array), *arrays)
        except ValueError as error:
            raise _value_error(self.name, arrays, error) from error
        except OverflowError as error:
            raise _overflow(self.name, error) from error
        except TypeError as error:
            dtypes = " and ".join(str(getattr(a, "dtype", type(a).__name__)) for a in arrays)
            raise DTypeError(f"{self.name} is not defined for {dtypes}") from error

    def backward(self, gradient: Tensor) -> list[Tensor | None]:
        y = self.output if self.saves_output else None
        inputs = self.inputs if self.saves_inputs else (None,) * len(self.edges)
        return [
            rule(gradient, y, *inputs) if needed else None
            for rule, needed in zip(self.rule.gradients, self.needs_gradient, strict=True)
        ]


def _value_error(name: str, arrays: tuple[Any, ...], error: ValueError) -> Exception:
    """What was wrong with the arrays: their shapes, or (integers to negative powers, say) their values."""
    shapes = [np.shape(a) for a in arrays if a is not None]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return ShapeError(f"{name}: shapes {' and '.join(map(str, shapes))} cannot be broadcast together")
    return DTypeError(f"{name}: {error}")


def _overflow(name: str, error: OverflowError) -> DTypeError:
    """A Python number does not fit the dtype of the Tensor beside it, which NEP 50 gives to both."""
    return DTypeError(f"{name}: {error}; give the Tensor a wider dtype with astype() first")


def elementwise(
    name: str,
    *gradients: GradientRule,
    forward: str | Callable[..., Array] | None = None,
    uses: str = "x",
    multilinear: bool = False,
) -> Operation:
    """Define an operation. `forward` is a function of (xp, *arrays), or a ufunc's name if it is not `name`."""
    if not callable(forward):
        ufunc = forward or name

        def forward(xp: Any, *arrays: Any) -> Array:
            return getattr(xp, ufunc)(*arrays)

    rule = Rule(name, forward, gradients, uses if gradients else "", multilinear)
    count = len(gradients)

    def operation(*inputs: Any) -> Tensor:
        if count and len(inputs) != count:
            raise TypeError(f"{name}() takes {count} inputs, got {len(inputs)}")
        return apply(Elementwise(rule), *as_operands(inputs, name))

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"`{name}`, element by element, with broadcasting; as NumPy's function of that name."
    OPERATIONS[name] = operation
    return operation


def _mask(condition: Tensor, g: Tensor) -> Tensor:
    """`g` where the condition holds, else 0 (also where `g` is not finite)."""
    return where(condition, g, 0.0)


def _share(g: Tensor, chosen: Tensor, tied: Tensor) -> Tensor:
    """The part of `g` that goes to an input that was chosen; inputs that tie get half each, as in PyTorch."""
    return where(tied, g * 0.5, _mask(chosen, g))


def _power_by_exponent(g: Tensor, y: Tensor, a: Any, b: Any) -> Tensor:
    base = a if isinstance(a, Tensor) else Tensor(y.xp.asarray(a, dtype=y.dtype))
    zero = base == 0  # 0 ** b is flat in b > 0, though log(0) is not finite
    return g * where(zero, 0.0, y * log(where(zero, 1.0, base)))


def _power_by_base(g: Tensor, y: Tensor, a: Any, b: Any) -> Tensor:
    if not isinstance(b, Tensor):
        return g * (b * power(a, b - 1)) if b != 0 else g * 0.0
    flat = b == 0  # a ** 0 is flat in a, though 0 ** -1 is not finite
    return g * where(flat, 0.0, b * power(where(flat, 1.0, a), b - 1.0))


def _as_bfloat16(y: Array, *operands: Any) -> Array:
    """`y`, which is of the dtype of its operands: CuPy's `where` and `clip` answer bfloat16 in float32."""
    dtypes = {x.dtype for x in operands if hasattr(x, "dtype")}
    name = next(iter(dtypes)).name if len(dtypes) == 1 else ""
    return y.astype(*dtypes) if name == "bfloat16" and y.dtype != name else y


def _sigmoid(xp: Any, x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow: exp is only ever taken of a negative number."""
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, e) / (1.0 + e)


# Arithmetic

add = elementwise("add", lambda g, y, a, b: g, lambda g, y, a, b: g, uses="")
subtract = elementwise("subtract", lambda g, y, a, b: g, lambda g, y, a, b: -g, uses="")
multiply = elementwise("multiply", lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, multilinear=True)
divide = elementwise("divide", lambda g, y, a, b: g / b, lambda g, y, a, b: -g * a / (b * b))
negative = elementwise("negative", lambda g, y, a: -g, uses="")
positive = elementwise("positive", lambda g, y, a: g, uses="")
absolute = elementwise("abs", lambda g, y, a: g * sign(a))
pow = power = elementwise("pow", _power_by_base, _power_by_exponent, forward="power", uses="xy")
square = elementwise("square", lambda g, y, a: g * (2.0 * a))
reciprocal = elementwise("reciprocal", lambda g, y, a: -g * y * y, uses="y")
sqrt = elementwise("sqrt", lambda g, y, a: g / (2.0 * y), uses="y")
sign: Operation = elementwise("sign", lambda g, y, a: g * 0.0, uses="")
floor_divide = elementwise("floor_divide")
remainder = elementwise("remainder", lambda g, y, a, b: g, lambda g, y, a, b: -g * floor_divide(a, b))
floor = elementwise("floor", lambda g, y, a: g * 0.0, uses="")
ceil = elementwise("ceil", lambda g, y, a: g * 0.0, uses="")
round = elementwise("round", lambda g, y, a: g * 0.0, uses="")

# Exponentials and the functions made of them

exp = elementwise("exp", lambda g, y, a: g * y, uses="y")
expm1 = elementwise("expm1", lambda g, y, a: g * (y + 1.0), uses="y")
log = elementwise("log", lambda g, y, a: g / a)
log1p = elementwise("log1p", lambda g, y, a: g / (a + 1.0))
sin = elementwise("sin", lambda g, y, a: g * cos(a))
cos: Operation = elementwise("cos", lambda g, y, a: -g * sin(a))
tanh = elementwise("tanh", lambda g, y, a: g * (1.0 - y * y), uses="y")
sigmoid = elementwise("sigmoid", lambda g, y, a: g * y * (1.0 - y), forward=_sigmoid, uses="y")
relu = elementwise(
    "relu", lambda g, y, a: _mask(y > 0, g), forward=lambda xp, x: xp.maximum(x, x.dtype.type(0)), uses="y"
)

# Choices

maximum = elementwise(
    "maximum", lambda g, y, a, b: _share(g, a > b, a == b), lambda g, y, a, b: _share(g, b > a, a == b)
)
minimum = elementwise(
    "minimum", lambda g, y, a, b: _share(g, a < b, a == b), lambda g, y, a, b: _share(g, b < a, a == b)
)
_where: Operation = elementwise(
    "where",
    lambda g, y, c, a, b: None,
    lambda g, y, c, a, b: _where(c, g, 0.0),
    lambda g, y, c, a, b: _where(c, 0.0, g),
    forward=lambda xp, c, a, b: _as_bfloat16(xp.where(c, a, b), a, b),
)

# Comparisons and logic: no gradients

equal = elementwise("equal")
not_equal = elementwise("not_equal")
less = elementwise("less")
less_equal = elementwise("less_equal")
greater = elementwise("greater")
greater_equal = elementwise("greater_equal")
logical_and = elementwise("logical_and")
logical_or = elementwise("logical_or")
logical_xor = elementwise("logical_xor")
logical_not = elementwise("logical_not")
bitwise_and = elementwise("bitwise_and")
bitwise_or = elementwise("bitwise_or")
bitwise_xor = elementwise("bitwise_xor")
bitwise_invert = elementwise("bitwise_invert", forward="invert")
isfinite = elementwise("isfinite")
isnan = elementwise("isnan")
isinf = elementwise("isinf")


def where(condition: Any, x1: Any, x2: Any) -> Tensor:
    """`x1` where `condition` (boolean) holds, else `x2`, with broadcasting.

    Raises:
        DTypeError: if `condition` is not boolean.
        ShapeError: if the shapes cannot be broadcast together.
    """
    condition = as_tensor(condition, "where")
    if condition.dtype != np.bool_:
        raise DTypeError(f"where: the condition must be boolean, not {condition.dtype}; write a comparison")
    return _where(condition, x1, x2)


OPERATIONS["where"] = where


class Clip(Function):
    """min(max(x, lowest), highest). The gradient is 1 inside and on the bounds, as in PyTorch; outside, it is
    the bound's."""

    name = "clip"

    def forward(self, x: Array, lowest: Any, highest: Any) -> Array:
        try:
            return _as_bfloat16(x.clip(lowest, highest), x, lowest, highest)
        except ValueError as error:
            raise _value_error(self.name, (x, lowest, highest), error) from error

    def backward(self, gradient: Tensor) -> list[Tensor | None]:
        x, lowest, highest = self.inputs
        inside, by_lowest, by_highest = gradient, None, None
        if lowest is not None:
            inside = _mask(x >= lowest, inside)
            by_lowest = _mask(x < lowest, gradient)
        if highest is not None:
            inside = _mask(x <= highest, inside)
            by_highest = _mask(x > highest, gradient)
        if lowest is not None and highest is not None:  # bounds that cross: the highest wins everywhere
            crossed = greater(as_tensor(lowest, self.name, (x,)), highest)  # on the device of x
            by_lowest, by_highest = where(crossed, 0.0, by_lowest), where(crossed, gradient, by_highest)
        return [inside, by_lowest, by_highest]


def clip(x: Any, min: Any = None, max: Any = None) -> Tensor:
    """`x` limited to [min, max]; a bound of None does not limit. Bounds may be numbers or Tensors that broadcast.

    Raises:
        ShapeError: if both bounds are None, or shapes cannot be broadcast.
    """
    if min is None and max is None:
        raise ShapeError("clip: at least one of min and max must be given")
    x = as_tensor(x, "clip")
    return apply(
        Clip(), x, *(bound if bound is None else as_operands((x, bound), "clip")[1] for bound in (min, max))
    )


def of_dtype(x: Tensor, dtype: Any) -> Tensor:
    """`x` itself where it has `dtype`, else cast to it."""
    return x if x.dtype == dtype else astype(x, dtype)


def astype(x: Tensor, dtype: Any) -> Tensor:
    """`x` with another dtype. Gradients flow between real dtypes.

    Raises:
        DTypeError: if there is no such dtype.
    """
    try:
        return apply(Cast(dtype), x)
    except TypeError as error:
        raise DTypeError(f"astype: there is no dtype {dtype!r}") from error
