"""Reading parts of a Tensor: every kind of index that NumPy has, with gradients."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from claims.ops import assert_error, assert_same_as_torch, drawn, layouts, seeds


def assert_index_is_differentiated(shape, index, layout="contiguous", seed=0):
    """Values are NumPy's. Each element's gradient is the sum over the places where it is read; of that, too."""
    x = drawn(shape, seed)
    places = np.arange(x.size).reshape(shape)[index]
    # PyTorch does not take negative steps, so the oracle reads the same elements by their numbers.
    assert_same_as_torch(
        lambda x: x[index],
        lambda x: x.flatten()[torch.from_numpy(np.asarray(places).ravel().copy())].reshape(np.shape(places)),
        x,
        layout=layout,
    )


@given(shape=hnp.array_shapes(min_dims=1, max_dims=4, max_side=4), layout=layouts, seed=seeds, data=st.data())
def test_integers_slices_ellipsis_and_new_axes(shape, layout, seed, data):
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    assert_index_is_differentiated(shape, index, layout, seed)


@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=3), layout=layouts, seed=seeds, data=st.data())
def test_integer_arrays_add_up_where_they_repeat(shape, layout, seed, data):
    index = data.draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=5)))
    assert_index_is_differentiated(shape, index, layout, seed)


@given(
    shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    layout=layouts,
    seed=seeds,
    data=st.data(),
)
def test_boolean_masks(shape, layout, seed, data):
    mask = data.draw(hnp.arrays(bool, shape))
    assert_index_is_differentiated(shape, mask, layout, seed)


INDICES = {
    "list": [0, 2, 0],
    "list in a tuple": (slice(None), [1, 1, 0]),
    "tuples in a tuple": ((0, 0, 2), (1, 1, 3)),
    "empty list": [],
    "array and slice": (np.array([2, 0, 2]), slice(1, None)),
    "array and integer": (np.array([1, 1]), 3),
    "mask of an axis": (slice(None), np.array([True, False, True, True])),
    "mask and integers": (np.array([True, False, True]), [1, 1]),
    "number of NumPy": (np.int64(1), np.uint8(2)),
    "column and row": (np.array([[0], [2]]), np.array([1, 3, 3])),
    "ellipsis and array": (..., np.array([0, 0])),
    "negative step": (slice(None, None, -2), slice(3, 0, -1)),
    "true": True,
    "nothing": (),
}


@pytest.mark.parametrize("name", INDICES)
def test_index(name):
    assert_index_is_differentiated((3, 4), INDICES[name])


def test_tensors_are_indices():
    x = mg.tensor(drawn((3, 4)), requires_grad=True)
    index = mg.tensor([2, 0, 2])
    np.testing.assert_array_equal(x[index].numpy(), x.numpy()[[2, 0, 2]])
    np.testing.assert_array_equal(x[index, mg.tensor(1)].numpy(), x.numpy()[[2, 0, 2], 1])
    np.testing.assert_array_equal(x[x > 0].numpy(), x.numpy()[x.numpy() > 0])
    np.testing.assert_array_equal(x[mg.tensor(1) : mg.tensor(3)].numpy(), x.numpy()[1:3])


@pytest.mark.parametrize("index", [np.array([0, 0]), mg.tensor([0, 0])])
def test_gradient_uses_the_index_as_it_was(index):
    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x[index]
    index[:] = 2
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 0.0]


def test_slices_are_views():
    x = mg.tensor(drawn((3, 4)))
    assert np.shares_memory(x[1:].numpy(), x.numpy())


X = mg.zeros((2, 3))
ERRORS = {
    "outside": (lambda: X[5], ["5", "(2, 3)"]),
    "too many": (lambda: X[0, 0, 0], ["(2, 3)", "(0, 0, 0)"]),
    "float": (lambda: X[0.5], ["0.5", "(2, 3)"]),
    "text": (lambda: X["first"], ["first", "(2, 3)"]),
    "mask": (lambda: X[mg.tensor([True, False, True])], ["(2, 3)"]),
    "float array": (lambda: X[mg.tensor([0.5])], ["(2, 3)", "integer"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_index_and_shape(case):
    call, fragments = ERRORS[case]
    assert_error(call, IndexError, *fragments)
