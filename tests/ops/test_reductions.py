"""Reductions and running sums beside PyTorch's."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from claims.ops import assert_error, assert_same_as_torch, drawn, layouts, seeds


def all_or(theirs):
    """PyTorch's function of (x, dim, keepdim), also where it has no such call for all axes at once."""

    def function(x, axis, keepdims):
        axis = tuple(range(x.ndim)) if axis is None else axis
        return theirs(x, axis, keepdims)

    return function


def product_over_axes(x, axes, keepdims):
    for axis in sorted((a % x.ndim for a in axes), reverse=True):
        x = torch.prod(x, axis, keepdims)
    return x


REDUCTIONS = {
    "sum": (mg.sum, all_or(torch.sum)),
    "mean": (mg.mean, all_or(torch.mean)),
    "max": (mg.max, all_or(torch.amax)),
    "min": (mg.min, all_or(torch.amin)),
    "prod": (mg.prod, all_or(product_over_axes)),
    "var": (
        lambda x, axis, keepdims: mg.var(x, axis, keepdims=keepdims),
        all_or(lambda x, axes, keepdims: torch.var(x, axes, correction=0, keepdim=keepdims)),
    ),
    "std": (
        lambda x, axis, keepdims: mg.std(x, axis, 1.0, keepdims),
        all_or(lambda x, axes, keepdims: torch.std(x, axes, correction=1, keepdim=keepdims)),
    ),
    "all": (mg.all, all_or(lambda x, axes, keepdims: torch.all(x > 0, axes, keepdims))),
    "any": (mg.any, all_or(lambda x, axes, keepdims: torch.any(x > 0, axes, keepdims))),
}


@st.composite
def shapes_and_axes(draw, min_side=1):
    """A shape, and some of its axes: None for all, one, or several, counted from either end."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=min_side, max_side=4))
    axes = draw(st.none() | hnp.valid_tuple_axes(len(shape), min_size=1))
    return shape, axes


@pytest.mark.parametrize("name", REDUCTIONS)
@given(case=shapes_and_axes(), keepdims=st.booleans(), layout=layouts, seed=seeds)
def test_reduction(name, case, keepdims, layout, seed):
    (shape, axes), (ours, theirs) = case, REDUCTIONS[name]
    count = np.prod([shape[a] for a in (range(len(shape)) if axes is None else axes)])
    x = drawn(shape, seed)
    if name == "std" and count == 1:  # the standard deviation of one number with n - 1 is 0 / 0
        shape = (*shape[:-1], 2 * shape[-1])
        axes, x = None, drawn(shape, seed)
    if name in ("all", "any"):
        # Where nothing is zero, both are true: PyTorch is asked about the sign, ours about what is positive.
        assert_same_as_torch(
            lambda x: ours(x > 0, axes, keepdims), lambda x: theirs(x, axes, keepdims), x, layout=layout
        )
        return
    assert_same_as_torch(lambda x: ours(x, axes, keepdims), lambda x: theirs(x, axes, keepdims), x, layout=layout)


@pytest.mark.parametrize("name", ["sum", "mean", "prod"])
def test_reduction_over_an_axis_of_an_empty_array(name):
    ours, theirs = REDUCTIONS[name]
    assert_same_as_torch(lambda x: ours(x, 1, False), lambda x: theirs(x, (1,), False), np.zeros((0, 3)))


def test_sum_and_product_of_nothing():
    assert_same_as_torch(lambda x: mg.sum(x, 0), lambda x: torch.sum(x, 0), np.zeros((0, 3)))
    assert_same_as_torch(lambda x: mg.prod(x, 0), lambda x: torch.prod(x, 0), np.zeros((0, 3)))


@pytest.mark.parametrize("zeros", [1, 2, 3])
def test_product_is_differentiated_where_factors_are_zero(zeros):
    x = drawn((2, 3), 0, 0.5, 2)
    x.flat[:zeros] = 0
    assert_same_as_torch(mg.prod, torch.prod, x)
    assert_same_as_torch(lambda x: mg.prod(x, 0), lambda x: torch.prod(x, 0), x)


@pytest.mark.parametrize("name", ["max", "min"])
def test_elements_that_tie_share_the_gradient(name):
    ours, theirs = REDUCTIONS[name]
    x = np.array([[1.0, 3.0, 3.0], [3.0, 1.0, 1.0]])
    for axes in (None, (0,), (1,)):
        assert_same_as_torch(
            lambda x, axes=axes: ours(x, axes, False), lambda x, axes=axes: theirs(x, axes, False), x
        )


def test_standard_deviation_of_equal_numbers_has_no_slope():
    # PyTorch's second gradient is NaN here.
    assert_same_as_torch(
        lambda x: mg.std(x, correction=1), lambda x: torch.std(x, correction=1), np.ones(4), orders=1
    )


@pytest.mark.parametrize("correction", [0, 1, 2.5])
def test_variance_with_a_correction(correction):
    x = drawn((3, 5))
    assert_same_as_torch(lambda x: mg.var(x, 1, correction), lambda x: torch.var(x, 1, correction=correction), x)


@given(case=shapes_and_axes(), layout=layouts, seed=seeds)
def test_cumulative_sum(case, layout, seed):
    (shape, axes) = case
    axis = axes[0] if axes else 0
    assert_same_as_torch(
        lambda x: mg.cumulative_sum(x, axis), lambda x: torch.cumsum(x, axis), drawn(shape, seed), layout=layout
    )


def test_cumulative_sum_needs_no_axis_in_one_dimension():
    assert_same_as_torch(mg.cumulative_sum, lambda x: torch.cumsum(x, 0), drawn((5,)))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@given(case=shapes_and_axes(), keepdims=st.booleans(), layout=layouts, seed=seeds)
def test_place_of_the_extremum(name, case, keepdims, layout, seed):
    shape, axes = case
    axis = axes[0] if axes else None
    ours, theirs = getattr(mg, name), getattr(torch, name)
    assert_same_as_torch(
        lambda x: ours(x, axis, keepdims), lambda x: theirs(x, axis, keepdims), drawn(shape, seed), layout=layout
    )


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_first_of_several_extrema_is_chosen(name):
    x = np.array([[2.0, 2.0, 1.0, 1.0]])
    assert getattr(mg, name)(mg.tensor(x), 1).tolist() == [{"argmax": 0, "argmin": 2}[name]]


def test_argmax_of_an_empty_batch_is_empty():
    assert_same_as_torch(lambda x: mg.argmax(x, 1), lambda x: torch.argmax(x, 1), np.zeros((0, 3)))


@pytest.mark.parametrize("name", ["sum", "prod", "max", "mean", "cumulative_sum", "all"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float16"])
def test_dtype_of_the_result_is_numpys(name, dtype):
    x = np.array([1, 0, 1]).astype(dtype)
    result, expected = getattr(mg, name)(mg.asarray(x)), getattr(np, name)(x)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result.numpy(), expected)


def test_methods_are_the_functions():
    x = mg.tensor([[1.0, 2.0], [3.0, 5.0]])
    for name in ("sum", "mean", "max", "min", "var", "std", "prod", "argmax", "argmin", "all", "any"):
        np.testing.assert_array_equal(getattr(x, name)(1).numpy(), getattr(mg, name)(x, 1).numpy())


X = mg.zeros((2, 3))
ERRORS = {
    "no such axis": (lambda: mg.sum(X, 2), mg.ShapeError, ["sum", "axis 2", "2 dimensions"]),
    "axis twice": (lambda: mg.mean(X, (0, -2)), mg.ShapeError, ["mean", "(0, -2)", "twice"]),
    "axis no integer": (lambda: mg.max(X, 0.5), mg.ShapeError, ["max", "integer", "0.5"]),
    "maximum of nothing": (lambda: mg.max(mg.zeros((0, 3)), 0), mg.ShapeError, ["max", "(0, 3)"]),
    "argmax of nothing": (lambda: mg.argmax(mg.zeros((0, 3)), 0), mg.ShapeError, ["argmax", "(0, 3)"]),
    "argmax axis": (lambda: mg.argmax(X, 5), mg.ShapeError, ["argmax", "axis 5"]),
    "variance of integers": (lambda: mg.var(mg.arange(3)), mg.DTypeError, ["var", "int64", "astype"]),
    "cumulative_sum": (lambda: mg.cumulative_sum(X), mg.ShapeError, ["cumulative_sum", "axis", "(2, 3)"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)
