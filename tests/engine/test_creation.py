"""Tensors from shapes and ranges: what makes no Tensor is refused by one sentence that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg

MAKERS = {
    "zeros": lambda dtype: mg.zeros(3, dtype=dtype),
    "ones": lambda dtype: mg.ones(3, dtype=dtype),
    "full": lambda dtype: mg.full(3, 2, dtype=dtype),
    "arange": lambda dtype: mg.arange(3, dtype=dtype),
    "linspace": lambda dtype: mg.linspace(0, 1, 3, dtype=dtype),
    "eye": lambda dtype: mg.eye(3, dtype=dtype),
    "tensor": lambda dtype: mg.tensor([1, 2], dtype=dtype),
    "rand": lambda dtype: mg.random.rand(3, dtype=dtype),
}


@pytest.mark.parametrize("dtype", ["foo", 3, "float33"])
@pytest.mark.parametrize("name", MAKERS)
def test_a_dtype_that_does_not_exist_is_named(name: str, dtype: Any) -> None:
    with pytest.raises(mg.DTypeError, match=name) as caught:
        MAKERS[name](dtype)
    assert str(dtype) in str(caught.value)


@pytest.mark.parametrize("dtype", [object, "S4", "datetime64[s]"])
@pytest.mark.parametrize("name", ["zeros", "full", "eye"])
def test_a_dtype_that_holds_no_numbers_is_refused(name: str, dtype: Any) -> None:
    with pytest.raises(mg.DTypeError, match=f"{name}: a Tensor holds numbers or booleans"):
        MAKERS[name](dtype)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mg.full(3, "a"), "full: 'a' is no number that a Tensor can hold"),
        (lambda: mg.full(3, None), "full: None is no number"),
        (lambda: mg.full(3, [1, 2]), r"full: \[1, 2\] is no number"),
        (lambda: mg.full(3, 300, "uint8"), "full: 300 is no number that uint8 can hold"),
        (lambda: mg.full(3, np.nan, "int64"), "full: nan is no number that int64 can hold"),
        (lambda: mg.full_like(mg.arange(2), np.inf), "full_like: inf is no number that int64 can hold"),
        (lambda: mg.zeros_like([1]), "zeros_like: a Tensor is needed, not list"),
        (lambda: mg.arange("a"), "arange: stop must be a finite number, got 'a'"),
        (lambda: mg.arange(np.nan), "arange: stop must be a finite number, got nan"),
        (lambda: mg.arange(0, 1, None), "arange: step must be a finite number, got None"),
        (lambda: mg.linspace(0, np.inf, 3), "linspace: stop must be a finite number, got inf"),
        (lambda: mg.tensor([np.nan], "int64"), "tensor: cannot make numbers of list with dtype int64"),
        (lambda: mg.tensor(["a"]), "a Tensor holds numbers"),
        (lambda: mg.zeros(3, "int64", requires_grad=True), "only real numbers can require a gradient, not int64"),
        (lambda: mg.random.randint("a", 3, 2), "randint: the bounds must be integers"),
        (lambda: mg.random.randint(0, 2**70, 2), "randint: the bounds must be integers"),
    ],
)
def test_a_value_that_is_no_number_for_the_dtype_is_named(make: Callable[[], mg.Tensor], message: str) -> None:
    with pytest.raises(mg.DTypeError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: mg.zeros(2**70),
        lambda: mg.ones((2**31, 2**31)),
        lambda: mg.eye(2**40),
        lambda: mg.arange(10**30),
        lambda: mg.arange(0, 1, 1e-300),
        lambda: mg.linspace(0, 1, 2**62),
    ],
)
def test_what_no_memory_holds_is_refused_before_it_is_asked_for(make: Callable[[], mg.Tensor]) -> None:
    with pytest.raises(mg.ShapeError, match="any memory"):
        make()


def test_without_a_dtype_zeros_and_ones_are_float32() -> None:
    assert [mg.zeros(2, dtype=None).dtype.name, mg.ones(2, dtype=None).dtype.name] == ["float32", "float32"]


@pytest.mark.parametrize(("value", "dtype"), [(300, "uint8"), (-1, "uint8"), (200, "int8"), (2**31, "int32")])
def test_numbers_that_a_dtype_cannot_hold_are_not_wrapped_around(value, dtype):
    with pytest.raises(mg.DTypeError, match=f"{value} is out of its range"):
        mg.tensor([0, value], dtype=dtype)
    with pytest.raises(mg.DTypeError):
        mg.tensor(value, dtype=dtype)
