"""NumPy and Tensors together: functions of either on the other, and one memory under both."""

import numpy as np
import pytest
import torch

import minigrad as mg
from claims.ops import drawn


@pytest.fixture
def x():
    return mg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64", requires_grad=True)


def test_asarray_shares_memory(x):
    array = np.asarray(x)
    assert type(array) is np.ndarray
    assert np.shares_memory(array, x.numpy())
    assert not np.shares_memory(np.array(x), x.numpy())
    assert np.asarray(x, dtype="float32").dtype == np.float32
    assert np.array(x, copy=False) is not None


def test_asarray_without_a_copy_refuses_to_convert(x):
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype="float32", copy=False)


ARRAY = np.array([[1.0, 10.0], [100.0, 1000.0]])
# An expression with an array on the left or a function of NumPy; and its gradient by x, summed.
EXPRESSIONS = {
    "ndarray + Tensor": (lambda x: ARRAY + x, np.ones((2, 2))),
    "ndarray * Tensor": (lambda x: ARRAY * x, ARRAY),
    "ndarray @ Tensor": (lambda x: ARRAY @ x, ARRAY.T.sum(1, keepdims=True) * np.ones(2)),
    "ndarray - Tensor": (lambda x: ARRAY - x, -np.ones((2, 2))),
    "scalar * Tensor": (lambda x: np.float64(3.0) * x, np.full((2, 2), 3.0)),
    "np.exp": (lambda x: np.exp(x), np.exp([[1.0, 2.0], [3.0, 4.0]])),
    "np.multiply": (lambda x: np.multiply(x, ARRAY), ARRAY),
    "np.power": (lambda x: np.power(x, 2), np.array([[2.0, 4.0], [6.0, 8.0]])),
    "np.sum": (lambda x: np.sum(x, axis=0), np.ones((2, 2))),
    "np.mean": (lambda x: np.mean(x), np.full((2, 2), 0.25)),
    "np.max": (lambda x: np.max(x, axis=1), np.array([[0.0, 1.0], [0.0, 1.0]])),
    "np.concatenate": (lambda x: np.concatenate([x, ARRAY], axis=1), np.ones((2, 2))),
    "np.stack": (lambda x: np.stack([ARRAY, x]), np.ones((2, 2))),
    "np.where": (lambda x: np.where(ARRAY > 5, x, 0.0), np.array([[0.0, 1.0], [1.0, 1.0]])),
    "np.transpose": (lambda x: np.transpose(x) * ARRAY, ARRAY.T),
    "np.reshape": (lambda x: np.reshape(x, (4,)) * np.arange(4.0), np.arange(4.0).reshape(2, 2)),
    "np.einsum": (lambda x: np.einsum("ij,ij->", ARRAY, x), ARRAY),
    "np.tensordot": (lambda x: np.tensordot(ARRAY, x, 2), ARRAY),
    "np.clip": (lambda x: np.clip(x, 2, 3), np.array([[0.0, 1.0], [1.0, 0.0]])),
    "np.pad": (lambda x: np.pad(x, 1), np.ones((2, 2))),
    "np.cumsum": (lambda x: np.cumsum(x, axis=0), np.array([[2.0, 2.0], [1.0, 1.0]])),
    "np.expand_dims": (lambda x: np.expand_dims(x, 0), np.ones((2, 2))),
    "np.take": (lambda x: np.take(x, [0, 0], axis=0), np.array([[2.0, 2.0], [0.0, 0.0]])),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expression_stays_on_the_tape(name, x):
    function, gradient = EXPRESSIONS[name]
    y = function(x)
    assert isinstance(y, mg.Tensor)
    np.testing.assert_array_equal(y.numpy(), function(x.numpy()))
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), gradient, rtol=1e-15)  # one rounding


def test_comparisons_give_tensors(x):
    assert isinstance(x < ARRAY, mg.Tensor)
    assert (x == ARRAY).tolist() == (x.numpy() == ARRAY).tolist()


def test_functions_that_are_not_ours_read_the_values(x):
    assert type(np.median(x)) is np.float64
    assert np.median(x) == 2.5
    assert np.linalg.norm(x) == np.linalg.norm(x.numpy())
    assert np.allclose(x, x.numpy())
    assert np.array_equal(np.sort(x), np.sort(x.numpy()))
    np.testing.assert_array_equal(x, x.numpy())
    assert np.shape(x) == (2, 2)


@pytest.mark.parametrize(
    "call", [lambda x: np.arctan(x), lambda x: np.add(x, 1, out=np.zeros((2, 2))), lambda x: np.add.reduce(x)]
)
def test_ufuncs_that_are_not_ours_raise_instead_of_losing_the_gradient(call, x):
    with pytest.raises(TypeError, match="__array_ufunc__"):
        call(x)


def test_numpy_indexed_with_tensors():
    array = np.arange(10)
    assert array[mg.tensor([1, 3])].tolist() == [1, 3]
    assert array[mg.tensor(3)] == 3


def test_dlpack_to_torch_shares_memory():
    x = mg.tensor(drawn((2, 3)))
    t = torch.from_dlpack(x)
    t[0, 0] = 7.0
    assert x[0, 0].item() == 7.0
    assert t.dtype == torch.float64


def test_dlpack_from_torch_shares_memory():
    t = torch.arange(6.0).reshape(2, 3).T
    x = mg.from_dlpack(t)
    t[0, 0] = 7.0
    assert x.shape == (3, 2)
    assert x[0, 0].item() == 7.0


def test_dlpack_with_numpy_shares_memory():
    array = np.arange(4.0)
    x = mg.from_dlpack(array)
    back = np.from_dlpack(x)
    array[0] = 7.0
    assert x[0].item() == back[0] == 7.0
    assert x.__dlpack_device__() == (1, 0)


def test_dlpack_of_what_does_not_speak_it():
    with pytest.raises(mg.DTypeError, match=r"list has no __dlpack__ method"):
        mg.from_dlpack([1.0])


def test_no_cuda_interface_on_a_cpu(x):
    assert not hasattr(x, "__cuda_array_interface__")
