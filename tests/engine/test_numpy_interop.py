"""NumPy and Tensors together: functions of either on the other, and one memory under both."""

import numpy as np
import pytest
import torch

import minigrad as mg
from claims.ops import assert_error, drawn


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
    "np.take without axis": (lambda x: np.take(x, [3, 3, 0]), np.array([[1.0, 0.0], [0.0, 2.0]])),
    "np.cumsum without axis": (lambda x: np.cumsum(x), np.array([[4.0, 3.0], [2.0, 1.0]])),
    "np.rint": (lambda x: np.rint(x * 1.3), np.zeros((2, 2))),
    "np.dot": (lambda x: np.dot(ARRAY, x), ARRAY.T.sum(1, keepdims=True) * np.ones(2)),
    "np.dot of vectors": (lambda x: np.dot(x[0], ARRAY[1]), np.array([[100.0, 1000.0], [0.0, 0.0]])),
    "np.dot of a matrix and a vector": (lambda x: np.dot(x, ARRAY[1]), np.array([[100.0, 1000.0]] * 2)),
    "np.dot of stacks": (
        lambda x: np.dot(np.ones((3, 1, 2)), np.stack([x, x])),
        np.full((2, 2), 6.0),
    ),
    "np.dot with a number": (lambda x: np.dot(3.0, x), np.full((2, 2), 3.0)),
    "np.inner": (lambda x: np.inner(x, ARRAY), ARRAY.sum(0) * np.ones((2, 1))),
    "np.outer": (lambda x: np.outer(ARRAY, x), np.full((2, 2), 1111.0)),
    "np.swapaxes": (lambda x: np.swapaxes(x, 0, 1) * ARRAY, ARRAY.T),
    "np.moveaxis": (lambda x: np.moveaxis(x[None], [0, 1], [-1, 0])[..., 0] * ARRAY, ARRAY),
    "np.rollaxis": (lambda x: np.rollaxis(x, 1) * ARRAY, ARRAY.T),
    "np.ravel": (lambda x: np.ravel(x) * np.arange(4.0), np.arange(4.0).reshape(2, 2)),
    "np.vstack": (lambda x: np.vstack([x[0], x, ARRAY]), np.array([[2.0, 2.0], [1.0, 1.0]])),
    "np.hstack": (lambda x: np.hstack([x, ARRAY]) * 2.0, np.full((2, 2), 2.0)),
    "np.hstack of vectors": (lambda x: np.hstack([x[0], 5.0, ARRAY[0]]), np.array([[1.0, 1.0], [0.0, 0.0]])),
    "np.dstack": (lambda x: np.dstack([x, ARRAY]), np.ones((2, 2))),
    "np.repeat": (lambda x: np.repeat(x, mg.tensor([1, 3]), axis=0), np.array([[1.0, 1.0], [3.0, 3.0]])),
    "np.tile": (lambda x: np.tile(x, (3, 1)), np.full((2, 2), 3.0)),
    "np.diagonal": (lambda x: np.diagonal(x, offset=1), np.array([[0.0, 1.0], [0.0, 0.0]])),
    "np.rot90": (lambda x: np.rot90(x) * ARRAY, np.rot90(ARRAY, -1)),
    "np.fliplr": (lambda x: np.fliplr(x) * ARRAY, np.fliplr(ARRAY)),
    "np.delete": (lambda x: np.delete(x, 0, axis=1), np.array([[0.0, 1.0], [0.0, 1.0]])),
    "np.split": (lambda x: np.split(x, 2)[1], np.array([[0.0, 0.0], [1.0, 1.0]])),
    "by name": (lambda x: np.sum(a=x, axis=0, keepdims=True), np.ones((2, 2))),
    "dtype": (lambda x: np.sum(x, 0, np.float64), np.ones((2, 2))),
    "a_min and a_max": (lambda x: np.clip(x, a_min=None, a_max=2), np.array([[1.0, 1.0], [0.0, 0.0]])),
    "decimals": (lambda x: np.round(x * 1.234, 1), np.zeros((2, 2))),
    "negative decimals": (lambda x: np.round(x * 123.4, decimals=-1), np.zeros((2, 2))),
    "optimize": (lambda x: np.einsum("ij,ij->", ARRAY, x, optimize=True), ARRAY),
    "constant_values": (lambda x: np.pad(x, 1, constant_values=7.0), np.ones((2, 2))),
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


@pytest.mark.parametrize("arguments", [{"ddof": 1}, {"correction": 1}, {"axis": 0, "ddof": 1}])
def test_ddof_is_the_correction(arguments, x):
    for function in (np.var, np.std):
        y = function(x, **arguments)
        assert isinstance(y, mg.Tensor)
        # NumPy sums in pairs: some roundings.
        np.testing.assert_allclose(y.numpy(), function(x.numpy(), **arguments), rtol=1e-14)
        assert y.requires_grad


def test_the_dtype_of_a_sum_is_that_of_its_elements(x):
    y = np.mean(x, dtype=np.float32)
    assert y.dtype == np.float32
    y.backward()
    assert x.grad.tolist() == [[0.25, 0.25], [0.25, 0.25]]


UNKNOWN_ARGUMENTS = {
    "where": (lambda x: np.sum(x, where=ARRAY > 5), ["numpy.sum", "where"]),
    "initial": (lambda x: np.max(x, initial=3.0), ["numpy.max", "initial"]),
    "out": (lambda x: np.mean(x, out=np.zeros(())), ["numpy.mean", "out"]),
    "order": (lambda x: np.reshape(x, (4,), order="F"), ["numpy.reshape", "order"]),
    "two": (lambda x: np.prod(x, initial=2.0, where=ARRAY > 5), ["numpy.prod", "initial and where"]),
}


@pytest.mark.parametrize("case", UNKNOWN_ARGUMENTS)
def test_an_argument_that_our_operation_does_not_take_is_named(case, x):
    call, fragments = UNKNOWN_ARGUMENTS[case]
    assert_error(lambda: call(x), TypeError, *fragments, "does not take", "detach")
    assert_error(lambda: call(x.detach()), TypeError, *fragments, "does not take")


WITHOUT_GRADIENT = {
    "np.shape": (np.shape, (2, 2)),
    "np.allclose": (lambda x: np.allclose(x, x), True),
    "np.array_equal": (lambda x: np.array_equal(x, ARRAY), False),
    "np.argsort": (lambda x: np.argsort(x, axis=None).tolist(), [0, 1, 2, 3]),
    "np.where of a condition": (lambda x: [i.tolist() for i in np.where(x > 2)], [[1, 1], [0, 1]]),
    "np.signbit": (lambda x: np.signbit(x).any(), False),
    "np.result_type": (lambda x: np.result_type(x, np.float32), np.float64),
    "np.zeros_like": (lambda x: np.zeros_like(x).tolist(), [[0.0, 0.0], [0.0, 0.0]]),
    "np.array2string": (np.array2string, "[[1. 2.]\n [3. 4.]]"),
    "np.add with out": (lambda x: np.add(x.detach(), 1, out=np.zeros((2, 2))).tolist(), [[2.0, 3.0], [4.0, 5.0]]),
}


@pytest.mark.parametrize("name", WITHOUT_GRADIENT)
def test_functions_that_no_gradient_flows_through_read_the_values(name, x):
    function, expected = WITHOUT_GRADIENT[name]
    assert function(x) == expected


def test_assertions_of_numpy_take_tensors(x):
    np.testing.assert_array_equal(x, x.numpy())


def added_in_place(x):
    array = np.zeros((2, 2))
    array += x


NOT_RECORDED = {
    "numpy.median": np.median,
    "numpy.sort": np.sort,
    "numpy.unique": lambda x: np.unique(x, return_counts=True),
    "numpy.linalg.inv": np.linalg.inv,
    "numpy.linalg.norm": np.linalg.norm,
    "numpy.select": lambda x: np.select([ARRAY > 5], [x]),
    "numpy.copyto": lambda x: np.copyto(np.zeros((2, 2)), x),
    "numpy.arctan": np.arctan,
    "numpy.logaddexp": lambda x: np.logaddexp(x, 1.0),
    "numpy.add.reduce": np.add.reduce,
    "numpy.multiply.outer": lambda x: np.multiply.outer(x, ARRAY),
    "numpy.multiply with dtype": lambda x: np.multiply(x, 2.0, dtype=np.float32),
    "numpy.add with out": added_in_place,
}


@pytest.mark.parametrize("name", NOT_RECORDED)
def test_a_function_that_would_lose_the_gradient_is_refused(name, x):
    assert_error(lambda: NOT_RECORDED[name](x), TypeError, name, "gradient would be lost", "detach()", "no_grad()")


@pytest.mark.parametrize("name", NOT_RECORDED)
def test_off_the_tape_it_is_numpys_own_on_the_values(name, x):
    expected = NOT_RECORDED[name](x.numpy())
    found = [NOT_RECORDED[name](x.detach())]
    with mg.no_grad():
        found.append(NOT_RECORDED[name](x))
    for result in found:
        assert type(result) is type(expected)
        np.testing.assert_equal(result, expected)


def test_nothing_is_written_before_a_refusal(x):
    array = np.zeros((2, 2))
    assert_error(lambda: np.add(x, 1.0, out=array), TypeError, "numpy.add with out")
    assert not array.any()


WRITING = {
    "numpy.add.at": lambda x: np.add.at(x, 0, 1.0),
    "numpy.exp with out": lambda x: np.exp(ARRAY, out=x),
    "numpy.median": lambda x: np.median(ARRAY, axis=0, out=x),
    "numpy.fill_diagonal": lambda x: np.fill_diagonal(x, 0.0),
    "numpy.copyto": lambda x: np.copyto(x, ARRAY),
    "numpy.put": lambda x: np.put(x, [0], [5.0]),
}


@pytest.mark.parametrize("name", WRITING)
def test_numpy_does_not_write_into_tensors(name, x):
    x = x.detach()
    assert_error(lambda: WRITING[name](x), TypeError, name, "write into a Tensor", "x[...] = values")
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]]


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


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint16"])
def test_numbers_in_another_byte_order_are_the_same_numbers(dtype):
    values = np.arange(12).reshape(3, 4).astype(dtype)
    swapped = values.astype(values.dtype.newbyteorder())
    for x in (mg.tensor(swapped), mg.asarray(swapped), mg.Tensor(swapped)):
        assert x.dtype.isnative
        np.testing.assert_array_equal(x.numpy(), values)
    if x.dtype.kind == "f":
        np.testing.assert_array_equal((mg.tensor(swapped) @ mg.tensor(swapped).T).numpy(), values @ values.T)


def test_arrays_of_a_subclass_go_through_kernels(tmp_path):
    values = np.random.default_rng(0).standard_normal((4, 3, 9, 9)).astype("float32")
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="c")
    expected, found = mg.asarray(values), mg.asarray(mapped)
    weight = mg.ones((2, 3, 3, 3))
    np.testing.assert_array_equal(
        mg.nn.functional.conv2d(found, weight).numpy(), mg.nn.functional.conv2d(expected, weight).numpy()
    )
    np.testing.assert_array_equal((found[0, 0] @ found[0, 0]).numpy(), (expected[0, 0] @ expected[0, 0]).numpy())
