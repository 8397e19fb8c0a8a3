"""Dtypes of results: NEP 50, with NumPy itself as oracle."""

import itertools

import numpy as np
import pytest

import minigrad as mg

DTYPES = ["bool", "uint8", "int8", "int32", "int64", "float16", "float32", "float64"]
OPERATORS = {
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "maximum": lambda a, b: np.maximum(a, b),
    "<": lambda a, b: a < b,
    "power": lambda a, b: np.power(a, b),
}
SCALARS = [True, 2, 2.5, np.float32(2.5), np.float64(2.5), np.int16(3), np.uint8(3)]


def outcome(function, a, b):
    """The dtype and values, or the kind of error."""
    try:
        result = function(a, b)
    except (TypeError, ValueError, OverflowError) as error:
        return OverflowError if isinstance(error, OverflowError) else TypeError
    return str(result.dtype), np.asarray(result).tolist()


@pytest.mark.parametrize("name", OPERATORS)
def test_two_arrays(name):
    for first, second in itertools.product(DTYPES, DTYPES):
        a, b = np.array([1, 3]).astype(first), np.array([1, 2]).astype(second)
        expected = outcome(OPERATORS[name], a, b)
        assert outcome(OPERATORS[name], mg.asarray(a), mg.asarray(b)) == expected, (first, second)
        assert outcome(OPERATORS[name], a, mg.asarray(b)) == expected, (first, second)


@pytest.mark.parametrize("name", OPERATORS)
def test_array_and_scalar(name):
    for dtype, scalar in itertools.product(DTYPES, SCALARS):
        a = np.array([1, 3]).astype(dtype)
        case = (dtype, scalar)
        assert outcome(OPERATORS[name], mg.asarray(a), scalar) == outcome(OPERATORS[name], a, scalar), case
        assert outcome(OPERATORS[name], scalar, mg.asarray(a)) == outcome(OPERATORS[name], scalar, a), case


@pytest.mark.parametrize("name", ["where", "clip", "concat"])
def test_functions_of_several_arrays(name):
    for first, second in itertools.product(DTYPES[1:], DTYPES[1:]):
        a, b = np.array([1, 3]).astype(first), np.array([1, 2]).astype(second)
        ours, theirs = {
            "where": (
                lambda a, b: mg.where(mg.tensor([True, False]), a, b),
                lambda a, b: np.where([True, False], a, b),
            ),
            "clip": (lambda a, b: mg.clip(a, b, b), lambda a, b: np.clip(a, b, b)),
            "concat": (lambda a, b: mg.concat([a, b]), lambda a, b: np.concatenate([a, b])),
        }[name]
        assert ours(mg.asarray(a), mg.asarray(b)).dtype == theirs(a, b).dtype, (first, second)


def test_where_takes_python_numbers_weakly():
    condition = np.array([True, False])
    for dtype in DTYPES[1:]:
        array = np.ones(2, dtype)
        assert mg.where(condition, 1, array).dtype == np.where(condition, 1, array).dtype
        assert mg.where(condition, mg.asarray(array), 1).dtype == np.where(condition, array, 1).dtype


@pytest.mark.parametrize("name", ["exp", "sqrt", "sin", "square", "sign", "abs", "floor", "isnan", "logical_not"])
def test_functions_of_one_array(name):
    for dtype in DTYPES:
        a = np.array([1, 3]).astype(dtype)
        expected = outcome(lambda a, _: getattr(np, name)(a), a, None)
        assert outcome(lambda a, _: getattr(mg, name)(a), mg.asarray(a), None) == expected, dtype
