"""The Tensor itself: what it shows, what it converts to, how it is made, copied and moved."""

import copy
import pickle

import numpy as np
import pytest

import minigrad as mg
from claims.ops import assert_error

REPRESENTATIONS = {
    "tensor([1., 2.])": lambda: mg.tensor([1.0, 2.0]),
    "tensor(3)": lambda: mg.tensor(3),
    "tensor([ True, False])": lambda: mg.tensor([True, False]),
    "tensor([1., 2.], dtype=float64)": lambda: mg.tensor([1.0, 2.0], dtype="float64"),
    "tensor([1.], requires_grad=True)": lambda: mg.tensor([1.0], requires_grad=True),
    "tensor([2.], from multiply)": lambda: mg.tensor([1.0], requires_grad=True) * 2,
    "tensor([], shape=(0, 3))": lambda: mg.zeros((0, 3)),
    "tensor([[0., 0.],\n        [0., 0.]])": lambda: mg.zeros((2, 2)),
}


@pytest.mark.parametrize("text", REPRESENTATIONS)
def test_representation(text):
    assert repr(REPRESENTATIONS[text]()) == text


def test_representation_of_a_large_tensor_is_short():
    text = repr(mg.zeros((100, 100)))
    assert "..." in text
    assert "shape=(100, 100)" in text
    assert len(text) < 500


def test_attributes():
    x = mg.zeros((2, 3), dtype="float64")
    assert (x.shape, x.ndim, x.size, len(x), x.dtype, x.device) == ((2, 3), 2, 6, 2, np.float64, "cpu")
    assert x.is_leaf
    assert not x.requires_grad
    assert x.grad is None


def test_numbers_out_of_a_tensor():
    x = mg.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert isinstance(x.item(), float)
    assert isinstance(mg.tensor(2).item(), int)
    assert [10, 20, 30][mg.tensor(1)] == 20
    assert list(range(mg.tensor(2))) == [0, 1]
    assert mg.tensor([[1, 2]]).tolist() == [[1, 2]]


def test_rows_of_a_tensor():
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    first, second = x
    (first * second).sum().backward()
    assert x.grad.tolist() == [[3.0, 4.0], [1.0, 2.0]]


def test_comparison_with_something_else_is_false():
    x = mg.zeros(2)
    assert (x == None) is False  # noqa: E711  (that is what is tested)
    assert (x != None) is True  # noqa: E711
    assert (x == "text") is False
    assert None not in (x,)


def test_tensors_are_keys_by_identity():
    x, y = mg.zeros(2), mg.zeros(2)
    assert len({x: 1, y: 2}) == 2


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_have_memory_of_their_own_and_no_history(duplicate):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    for original in (x, y):
        other = duplicate(original)
        assert other.tolist() == original.tolist()
        assert other.is_leaf
        assert not np.shares_memory(other.numpy(), original.numpy())
    assert duplicate(x).requires_grad
    assert not duplicate(y).requires_grad


def test_requires_grad_is_asked_of_leaves():
    x = mg.tensor([1.0])
    assert x.requires_grad_() is x
    assert x.requires_grad
    assert not x.requires_grad_(False).requires_grad


def test_moving_to_where_it_is_changes_nothing():
    x = mg.tensor([1.0])
    assert x.to("cpu") is x
    assert x.to(dtype="float32") is x
    assert x.to(dtype="float64").dtype == np.float64


DATA = {
    "floats": ([1.0, 2.0], np.float32),
    "integers": ([1, 2], np.int64),
    "booleans": ([True], np.bool_),
    "number": (1.5, np.float32),
    "float64 array": (np.zeros(2), np.float64),
    "float16 array": (np.zeros(2, np.float16), np.float16),
    "uint8 array": (np.zeros(2, np.uint8), np.uint8),
    "numbers of NumPy": ([np.float64(1.0)], np.float64),
    "tensors": ([mg.zeros(2), mg.ones(2)], np.float32),
    "empty list": ([], np.float32),
}


@pytest.mark.parametrize("case", DATA)
def test_dtype_of_new_tensors(case):
    data, dtype = DATA[case]
    assert mg.tensor(data).dtype == dtype
    assert mg.tensor(data, dtype="float64").dtype == np.float64


def test_tensor_copies_and_asarray_shares():
    array = np.zeros(2)
    copied, shared = mg.tensor(array), mg.asarray(array)
    array[0] = 1.0
    assert copied.tolist() == [0.0, 0.0]
    assert shared.tolist() == [1.0, 0.0]
    assert mg.asarray(shared) is shared
    assert mg.asarray(array, dtype="float32").dtype == np.float32
    assert mg.asarray([1.0]).dtype == np.float32


def test_tensors_of_one_value():
    assert mg.zeros((2, 3)).tolist() == [[0.0] * 3] * 2
    assert mg.ones(2, dtype="int64").tolist() == [1, 1]
    assert mg.full((2,), 7).dtype == np.int64
    assert mg.full((2,), 7.0).dtype == np.float32
    assert mg.full((), 7.0, requires_grad=True).requires_grad
    x = mg.tensor([[1, 2]], dtype="int32")
    for like, value in ((mg.zeros_like(x), 0), (mg.ones_like(x), 1), (mg.full_like(x, 5), 5)):
        assert like.tolist() == [[value, value]]
        assert like.dtype == x.dtype


def test_sequences():
    assert mg.arange(3).tolist() == [0, 1, 2]
    assert mg.arange(1, 7, 2).dtype == np.int64
    assert mg.arange(0.0, 1.0, 0.25).tolist() == [0.0, 0.25, 0.5, 0.75]
    assert mg.arange(3, 0, -1).tolist() == [3, 2, 1]
    assert mg.linspace(0, 1, 5).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert mg.eye(2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


X = mg.zeros((2, 3))
ERRORS = {
    "ragged": (lambda: mg.tensor([[1.0], [1.0, 2.0]]), mg.ShapeError, ["tensor", "equal lengths"]),
    "ragged tensors": (lambda: mg.tensor([mg.zeros(2), mg.zeros(3)]), mg.ShapeError, ["tensor", "equal lengths"]),
    "text": (lambda: mg.tensor("abc"), mg.DTypeError, ["numbers or booleans"]),
    "text as numbers": (lambda: mg.tensor("abc", dtype="float32"), mg.DTypeError, ["tensor", "abc"]),
    "nothing": (lambda: mg.tensor(None), mg.DTypeError, ["object"]),
    "dtype": (lambda: mg.tensor([1], dtype="float99"), mg.DTypeError, ["float99"]),
    "gradient of integers": (lambda: mg.tensor([1], requires_grad=True), mg.DTypeError, ["real numbers", "int64"]),
    "later": (lambda: mg.tensor([1]).requires_grad_(), mg.DTypeError, ["real numbers", "int64"]),
    "not a leaf": (
        lambda: (mg.ones(1, requires_grad=True) * 2).requires_grad_(False),
        mg.MinigradError,
        ["leaf", "detach"],
    ),
    "item": (X.item, mg.ShapeError, ["(2, 3)", "one element"]),
    "float": (lambda: float(X), mg.ShapeError, ["(2, 3)"]),
    "truth": (lambda: bool(X), mg.ShapeError, ["(2, 3)", "all() or any()"]),
    "index": (lambda: [1][mg.tensor(0.0)], mg.DTypeError, ["integer", "float32"]),
    "length": (lambda: len(mg.tensor(1.0)), TypeError, ["without axes"]),
    "iteration": (lambda: iter(mg.tensor(1.0)), TypeError, ["iterate", "without axes"]),
    "device": (lambda: mg.zeros(2, device="tpu"), mg.DeviceError, ["'tpu'", "cpu, cuda"]),
    "move": (lambda: X.to("tpu"), mg.DeviceError, ["'tpu'"]),
    "negative size": (lambda: mg.zeros((2, -1)), mg.ShapeError, ["(2, -1)"]),
    "size": (lambda: mg.ones(2.5), mg.ShapeError, ["2.5"]),
    "step": (lambda: mg.arange(0, 3, 0), mg.ShapeError, ["arange", "step", "0 to 3"]),
    "number of points": (lambda: mg.linspace(0, 1, -2), mg.ShapeError, ["linspace", "-2"]),
    "identity": (lambda: mg.eye(-2), mg.ShapeError, ["eye", "-2"]),
    "to a dtype": (lambda: X.to(dtype="float99"), mg.DTypeError, ["float99"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)
