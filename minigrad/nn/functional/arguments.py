"""What the functions ask of their arguments, checked once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...kernels.arrays import dtype_name
from ...kernels.errors import DTypeError, MinigradError, ShapeError
from ...ops.shape import expand_dims, squeeze
from ...tensor import Tensor, is_floating

Pair = int | tuple[int, int]
LARGEST = 1 << 24  # what a window may measure in pixels: products of a few such numbers still fit 64 bits


def is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def integer(function: str, name: str, value: Any, least: int = 1) -> int:
    """`value` as an int of at least `least`.

    Raises:
        ShapeError: if it is anything else.
    """
    if not is_integer(value) or value < least:
        raise ShapeError(f"{function}: {name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def number(function: str, name: str, value: Any, least: float = 0.0, most: float = float("inf")) -> float:
    """`value` as a float from `least` to `most`.

    Raises:
        MinigradError: if it is anything else, NaN included.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not least <= value <= most:
        lowest = "" if least == -float("inf") else f", at least {least:g}"
        limits = lowest if most == float("inf") else f", from {least:g} to {most:g}"
        raise MinigradError(f"{function}: {name} must be a number{limits}, got {value!r}")
    return float(value)


def switch(function: str, name: str, value: Any) -> bool:
    """`value` as a bool; raises MinigradError if it is neither True nor False (nor 1 nor 0)."""
    if not isinstance(value, int | np.integer | np.bool_) or value not in (0, 1):
        raise MinigradError(f"{function}: {name} must be True or False, got {value!r}")
    return bool(value)


def pair(value: Any, name: str) -> tuple[int, int]:
    """One number for both axes, or a number for each."""
    if type(value) is int and value <= LARGEST:
        return value, value
    both = value if isinstance(value, list | tuple) else (value, value)
    if len(both) != 2 or not all(isinstance(n, int | np.integer) for n in both):
        raise ShapeError(f"{name} must be one integer or a pair of them, got {value!r}")
    if max(both) > LARGEST:
        raise ShapeError(f"{name} must be at most {LARGEST}, got {value!r}")
    return int(both[0]), int(both[1])


def known_activation(function: str, activation: str | None) -> None:
    """Raise a MinigradError unless `activation` is one that a function can apply to its result."""
    if activation not in (None, "relu"):
        raise MinigradError(f'{function}: activation must be "relu" or None, got {activation!r}')


def four(x: Tensor) -> tuple[int, int, int, int]:
    n, c, h, w = x.shape
    return n, c, h, w


def a_tensor(function: str, name: str, x: Any) -> Tensor:
    """`x` itself, if it is a Tensor; raises DTypeError if it is not."""
    if not isinstance(x, Tensor):
        raise DTypeError(f"{function}: {name} must be a Tensor, not {type(x).__name__}; use mg.tensor")
    return x


def real(x: Any, name: str) -> Tensor:
    """`x` itself, if it is a Tensor of real numbers.

    Raises:
        DTypeError: if it is not.
    """
    a_tensor(name, "the input", x)
    if not is_floating(x.dtype):
        raise DTypeError(f"{name}: the input must hold real numbers, not {x.dtype}; use x.astype('float32')")
    return x


def on_batch(x: Tensor, function: Callable[[Tensor], Tensor], name: str) -> Tensor:
    """Apply `function` to a batch (N, C, H, W), or to one image (C, H, W) as a batch of one."""
    real(x, name)
    if x.ndim == 3:
        return squeeze(function(expand_dims(x, 0)), 0)
    if x.ndim != 4:
        raise ShapeError(f"{name}: the input must be (N, C, H, W) or (C, H, W), got shape {x.shape}")
    return function(x)


def same_dtype(name: str, optional: Mapping[str, Tensor | None], **tensors: Tensor) -> str:
    """The dtype that all given tensors share; those in `optional` may be None.

    A wrong dtype is most often a mistake, such as float64 data for float32 weights, so it is not promoted.
    """
    given = {key: a_tensor(name, key, x).data.dtype for key, x in tensors.items()}
    given |= {key: a_tensor(name, key, x).data.dtype for key, x in optional.items() if x is not None}
    first, *others = given.values()
    if any(dtype != first for dtype in others):
        listed = ", ".join(f"{key} {dtype}" for key, dtype in given.items())
        raise DTypeError(f"{name}: all dtypes must be equal, got {listed}; use astype")
    return dtype_name(first)
