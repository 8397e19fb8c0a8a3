"""Elementwise operations beside PyTorch's."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import minigrad as mg
import minigrad.nn.functional as F
from claims.ops import assert_error, assert_same_as_torch, drawn, layouts, seeds
from minigrad.ops.elementwise import OPERATIONS

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)

# name: ours, PyTorch's, and the range that inputs are drawn from
UNARY = {
    "abs": (mg.abs, torch.abs, -2, 2),
    "ceil": (mg.ceil, torch.ceil, -3, 3),
    "cos": (mg.cos, torch.cos, -4, 4),
    "exp": (mg.exp, torch.exp, -3, 3),
    "expm1": (mg.expm1, torch.expm1, -1, 1),
    "floor": (mg.floor, torch.floor, -3, 3),
    "isfinite": (mg.isfinite, torch.isfinite, -1, 1),
    "isinf": (mg.isinf, torch.isinf, -1, 1),
    "isnan": (mg.isnan, torch.isnan, -1, 1),
    "log": (mg.log, torch.log, 0.1, 5),
    "log1p": (mg.log1p, torch.log1p, -0.5, 3),
    "logical_not": (mg.logical_not, torch.logical_not, -1, 1),
    "negative": (mg.negative, torch.negative, -2, 2),
    "positive": (mg.positive, torch.positive, -2, 2),
    "reciprocal": (mg.reciprocal, torch.reciprocal, 0.2, 3),
    "relu": (F.relu, torch.relu, -2, 2),
    "round": (mg.round, torch.round, -3, 3),
    "sigmoid": (mg.sigmoid, torch.sigmoid, -6, 6),
    "sign": (mg.sign, torch.sign, -2, 2),
    "sin": (mg.sin, torch.sin, -4, 4),
    "sqrt": (mg.sqrt, torch.sqrt, 0.1, 5),
    "square": (mg.square, torch.square, -3, 3),
    "tanh": (mg.tanh, torch.tanh, -4, 4),
}
BINARY = {
    "add": (mg.add, torch.add, -2, 2),
    "divide": (mg.divide, torch.divide, 0.3, 3),
    "equal": (mg.equal, torch.eq, -2, 2),
    # PyTorch refuses to differentiate it; ours has no gradient.
    "floor_divide": (mg.floor_divide, lambda a, b: torch.floor_divide(a.detach(), b.detach()), 0.3, 3),
    "greater": (mg.greater, torch.greater, -2, 2),
    "greater_equal": (mg.greater_equal, torch.greater_equal, -2, 2),
    "less": (mg.less, torch.less, -2, 2),
    "less_equal": (mg.less_equal, torch.less_equal, -2, 2),
    "logical_and": (mg.logical_and, torch.logical_and, -2, 2),
    "logical_or": (mg.logical_or, torch.logical_or, -2, 2),
    "logical_xor": (mg.logical_xor, torch.logical_xor, -2, 2),
    "maximum": (mg.maximum, torch.maximum, -2, 2),
    "minimum": (mg.minimum, torch.minimum, -2, 2),
    "multiply": (mg.multiply, torch.multiply, -2, 2),
    "not_equal": (mg.not_equal, torch.not_equal, -2, 2),
    "pow": (mg.pow, torch.pow, 0.3, 2.5),
    "remainder": (mg.remainder, torch.remainder, 0.3, 3),
    "subtract": (mg.subtract, torch.subtract, -2, 2),
}
OF_INTEGERS = {
    "bitwise_and": (mg.bitwise_and, torch.bitwise_and),
    "bitwise_or": (mg.bitwise_or, torch.bitwise_or),
    "bitwise_xor": (mg.bitwise_xor, torch.bitwise_xor),
}


def test_every_elementwise_operation_has_a_case():
    assert OPERATIONS.keys() == UNARY.keys() | BINARY.keys() | OF_INTEGERS.keys() | {"bitwise_invert", "where"}


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=8)
@given(shape=shapes, layout=layouts, seed=seeds)
def test_function_of_one_array(name, shape, layout, seed):
    ours, theirs, low, high = UNARY[name]
    assert_same_as_torch(ours, theirs, drawn(shape, seed, low, high), layout=layout)


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=8)
@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3),
    layout=layouts,
    seed=seeds,
)
def test_function_of_two_arrays_that_broadcast(name, shapes, layout, seed):
    ours, theirs, low, high = BINARY[name]
    a, b = (drawn(shape, seed + i, low, high) for i, shape in enumerate(shapes.input_shapes))
    assert_same_as_torch(ours, theirs, a, b, layout=layout)


@pytest.mark.parametrize("name", BINARY)
def test_function_of_an_array_and_a_number(name):
    ours, theirs, low, high = BINARY[name]
    assert_same_as_torch(
        lambda x: ours(x, 1.75), lambda x: theirs(x, torch.tensor(1.75).double()), drawn((3, 4), 0, low, high)
    )
    assert_same_as_torch(
        lambda x: ours(1.75, x), lambda x: theirs(torch.tensor(1.75).double(), x), drawn((3, 4), 0, low, high)
    )


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64"])
@pytest.mark.parametrize("name", OF_INTEGERS)
def test_bitwise_function(name, dtype):
    ours, theirs = OF_INTEGERS[name]
    a, b = (np.random.default_rng(i).integers(0, 100, (2, 5)).astype(dtype) for i in (0, 1))
    assert_same_as_torch(ours, theirs, a, b)
    assert_same_as_torch(mg.bitwise_invert, torch.bitwise_not, a)


@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3),
    layout=layouts,
    seed=seeds,
)
def test_where(shapes, layout, seed):
    condition, a, b = (drawn(shape, seed + i) for i, shape in enumerate(shapes.input_shapes))
    assert_same_as_torch(mg.where, torch.where, condition > 0, a, b, layout=layout)


def test_where_with_numbers():
    x = drawn((3, 4))
    assert_same_as_torch(lambda x: mg.where(x > 0, x, 0.5), lambda x: torch.where(x > 0, x, 0.5), x)
    assert_same_as_torch(lambda x: mg.where(x > 0, 0.5, x), lambda x: torch.where(x > 0, 0.5, x), x)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (None, 0.5), (-0.5, None), (1.0, -1.0)])
def test_clip_by_numbers(bounds):
    assert_same_as_torch(lambda x: mg.clip(x, *bounds), lambda x: torch.clip(x, *bounds), drawn((4, 5)))


@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), seed=seeds)
def test_clip_by_arrays(shape, seed):
    x, low, high = drawn(shape, seed), drawn(shape[-1:], seed + 1, -2, 1), drawn(shape, seed + 2, -1, 2)
    assert_same_as_torch(mg.clip, torch.clip, x, low, high)
    assert_same_as_torch(lambda x, low: mg.clip(x, low), lambda x, low: torch.clip(x, low), x, low)
    assert_same_as_torch(lambda x, high: mg.clip(x, max=high), lambda x, high: torch.clip(x, max=high), x, high)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, 0.5, -1.5])
def test_power_by_a_number(exponent):
    assert_same_as_torch(lambda x: x**exponent, lambda x: x**exponent, drawn((3, 4), 0, 0.3, 2))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3])
def test_power_of_zero_and_negative_numbers(exponent):
    x = np.array([-1.5, -1.0, 0.0, 0.5])
    assert_same_as_torch(lambda x: x**exponent, lambda x: x**exponent, x)
    # PyTorch's second gradient of 0 ** 0 is NaN, ours is 0, as for an exponent that is a number.
    assert_same_as_torch(
        mg.pow, torch.pow, x, np.full(4, float(exponent)), constant=(1,), orders=2 if exponent else 1
    )


def test_power_with_zero_as_base_is_flat_in_its_exponent():
    # PyTorch's second gradients are NaN here.
    assert_same_as_torch(mg.pow, torch.pow, np.array([0.0, 0.0, 2.0]), np.array([1.0, 2.0, 3.0]), orders=1)


# Where a derivative jumps, PyTorch's choice is ours: ties share, kinks of abs, relu and sign are flat.
TIES = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])


@pytest.mark.parametrize("name", ["abs", "relu", "sign", "floor", "ceil", "round"])
def test_derivative_at_a_kink(name):
    ours, theirs, *_ = UNARY[name]
    assert_same_as_torch(ours, theirs, TIES)


@pytest.mark.parametrize("name", ["maximum", "minimum", "equal", "less_equal", "greater"])
def test_derivative_where_two_arrays_tie(name):
    ours, theirs, *_ = BINARY[name]
    assert_same_as_torch(ours, theirs, TIES, np.array([-1.0, 0.5, 0.5, 0.0, 2.0]))


def test_derivative_of_clip_on_its_bounds():
    assert_same_as_torch(lambda x: mg.clip(x, 0.0, 1.0), lambda x: torch.clip(x, 0.0, 1.0), TIES)
    low, high = np.zeros(5), np.ones(5)
    assert_same_as_torch(mg.clip, torch.clip, TIES, low, high)


def test_infinite_slopes_are_infinite():
    x = mg.tensor([0.0], requires_grad=True)
    with np.errstate(divide="ignore"):
        assert mg.grad(mg.sqrt(x).sum(), x)[0].item() == np.inf
        assert mg.grad(mg.log(x).sum(), x)[0].item() == np.inf


@pytest.mark.parametrize("value", [-1000.0, -88.0, 88.0, 1000.0])
def test_sigmoid_and_tanh_do_not_overflow(value):
    x = np.array([value])
    assert_same_as_torch(mg.sigmoid, torch.sigmoid, x)
    assert_same_as_torch(mg.tanh, torch.tanh, x)


@pytest.mark.parametrize("name", ["exp", "maximum", "relu", "sigmoid", "where"])
def test_not_a_number_goes_through(name):
    x = mg.tensor([np.nan, 1.0])
    function = {
        "relu": F.relu,
        "maximum": lambda x: mg.maximum(x, 0.0),
        "where": lambda x: mg.where(x > 0, 1.0, x),
    }
    y = function.get(name, getattr(mg, name, None))(x)
    assert np.isnan(y.numpy()).tolist() == [True, False]


@pytest.mark.parametrize("source", ["bool", "uint8", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("target", ["bool", "uint8", "int64", "float16", "float32", "float64"])
def test_astype_converts_as_numpy(source, target):
    x = np.array([0, 1, 7]).astype(source)
    y = mg.astype(mg.asarray(x), target)
    assert y.dtype == target
    np.testing.assert_array_equal(y.numpy(), x.astype(target))


def test_gradients_flow_through_casts_between_real_dtypes_only():
    x = mg.tensor([1.5, 2.5], requires_grad=True)
    (x.astype("float64") * mg.tensor([2.0, 3.0], dtype="float64")).sum().backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [2.0, 3.0]
    assert not x.astype("int64").requires_grad


def test_float16_keeps_its_dtype_forward_and_back():
    x = mg.tensor([0.5, 1.5], dtype="float16", requires_grad=True)
    y = mg.exp(x) * 2.0 + x / 4
    assert y.dtype == np.float16
    (gradient,) = mg.grad(y.sum(), x)
    assert gradient.dtype == np.float16
    # 3 decimal digits are all that float16 has
    np.testing.assert_allclose(gradient.numpy(), 2 * np.exp([0.5, 1.5]) + 0.25, rtol=2e-3)


ERRORS = {
    "shapes": (lambda: mg.zeros((2, 3)) + mg.zeros(2), mg.ShapeError, ["add", "(2, 3)", "(2,)"]),
    "clip shapes": (lambda: mg.clip(mg.zeros((2, 3)), mg.zeros(2)), mg.ShapeError, ["clip", "(2, 3)", "(2,)"]),
    "clip nothing": (lambda: mg.clip(mg.zeros(2)), mg.ShapeError, ["clip", "min", "max"]),
    "dtype": (lambda: mg.bitwise_and(mg.zeros(2), 1), mg.DTypeError, ["bitwise_and", "float32"]),
    "bool minus bool": (lambda: mg.tensor([True]) - mg.tensor([True]), mg.DTypeError, ["subtract", "bool"]),
    "negative power": (lambda: mg.arange(3) ** -1, mg.DTypeError, ["pow", "negative integer powers"]),
    "condition": (lambda: mg.where(mg.arange(3), 1.0, 0.0), mg.DTypeError, ["where", "boolean", "int64"]),
    "no dtype": (lambda: mg.zeros(2).astype("float99"), mg.DTypeError, ["astype", "float99"]),
    "None": (lambda: mg.zeros(2) + None, TypeError, ["add", "NoneType"]),
    "None on the left": (lambda: None - mg.zeros(2), TypeError, ["subtract", "NoneType"]),
    "text": (lambda: mg.zeros(2) + "a", TypeError, ["add", "type str"]),
    "text compared": (lambda: mg.zeros(2) < "a", TypeError, ["less", "type str"]),
    "array of texts": (lambda: mg.zeros(2) + np.array(["a", "b"]), TypeError, ["add", "ndarray of dtype <U1"]),
    "objects": (lambda: mg.zeros(2) * [object()], TypeError, ["multiply", "type list"]),
    "uneven lists": (lambda: mg.zeros(2) * [[1], [2, 3]], TypeError, ["multiply", "evenly nested lists"]),
    "product with None": (lambda: mg.zeros(2) @ None, TypeError, ["matmul", "NoneType"]),
    "function of None": (lambda: mg.exp(None), TypeError, ["exp", "NoneType"]),
    "sum of None": (lambda: mg.sum(None), TypeError, ["sum", "NoneType"]),
    "list of Tensors": (
        lambda: mg.add(mg.zeros(2), [mg.zeros(2).requires_grad_()]),
        TypeError,
        ["add", "list of Tensors", "stack()"],
    ),
    "too large": (
        lambda: mg.zeros(2, dtype="uint8") + 300,
        mg.DTypeError,
        ["add", "300", "uint8", "astype()"],
    ),
    "negative": (lambda: mg.zeros(2, dtype="uint8") * -1, mg.DTypeError, ["multiply", "-1", "uint8"]),
    "arity": (lambda: mg.exp(mg.zeros(2), mg.zeros(2)), TypeError, ["exp", "1 inputs, got 2"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)
