"""Assigning to parts of a Tensor: allowed where the tape cannot notice, a clear TypeError elsewhere."""

import numpy as np
import pytest

import minigrad as mg
from claims.ops import assert_error


def leaf(*values):
    return mg.tensor(list(values), dtype="float64", requires_grad=True)


def assign(x, value=5.0):
    def call():
        x[0] = value

    return call


def test_a_tensor_off_the_tape_takes_values():
    x = mg.zeros((2, 3))
    x[0] = 1.0
    x[:, 1] = mg.tensor([7.0, 8.0])
    x[x > 6] = -1.0
    x[mg.tensor([1]), mg.tensor([2])] = [3.0]
    assert x.tolist() == [[1.0, -1.0, 1.0], [0.0, -1.0, 3.0]]


def test_a_leaf_takes_values_inside_no_grad():
    x = leaf(1.0, 2.0)
    assert_error(assign(x), TypeError, "(2,)", "requires a gradient", "no_grad")
    with mg.no_grad():
        x[0] = 5.0
    (x * x).sum().backward()
    assert x.grad.tolist() == [10.0, 4.0]


def test_a_result_on_the_tape_takes_none():
    y = leaf(1.0, 2.0) * 2
    assert_error(assign(y), TypeError, "on the tape", "multiply", "where()")
    with mg.no_grad():
        assert_error(assign(y), TypeError, "on the tape")


def test_values_on_the_tape_are_not_swallowed():
    x = mg.zeros(2)
    assert_error(assign(x, leaf(1.0).sum()), TypeError, "value is on the tape", "gradient would be lost")
    with mg.no_grad():
        x[0] = leaf(1.0).sum()
    assert x.tolist() == [1.0, 0.0]


# What reads the memory of x, for its backward pass: x itself, a view, a view of a view, or a saved output.
READERS = {
    "itself": (lambda x: x * x, lambda x, y: x),
    "constant factor": (lambda x: leaf(1.0, 1.0) * x.detach(), lambda x, y: x.detach()),
    "detached": (lambda x: x * x, lambda x, y: x.detach()),
    "slice of the detached": (lambda x: x * x, lambda x, y: x.detach()[:1]),
    "reshaped": (lambda x: x * x, lambda x, y: x.detach().reshape(1, 2)),
    "reads a view": (lambda x: x.reshape(1, 2) * x.reshape(1, 2), lambda x, y: x),
    "reads a slice": (lambda x: mg.square(x[:1]), lambda x, y: x),
    "reads a view of a view": (lambda x: mg.square(x.reshape(1, 2).T), lambda x, y: x.detach().flatten()),
    "saved output": (mg.exp, lambda x, y: y.detach()),
    "view of a saved output": (mg.exp, lambda x, y: y.detach()[:1]),
}


@pytest.mark.parametrize("case", READERS)
def test_what_the_tape_still_needs_is_not_assigned_to(case):
    make, choose = READERS[case]
    x = leaf(1.0, 2.0)
    with mg.no_grad():
        x[0] = 3.0  # before: nobody has read it
    y = make(x)
    target = choose(x, y)
    with mg.no_grad():
        assert_error(assign(target), TypeError, "still needs its values", "backward")
        y.sum().backward() if not y.requires_grad else y.backward(mg.ones(y.shape))
        target[0] = 4.0  # after: it has been used and freed


def test_a_retained_graph_goes_on_needing_its_values():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    with mg.no_grad():
        assert_error(assign(x), TypeError, "multiply still needs")
        del y
        x[0] = 5.0


def test_what_no_backward_pass_reads_may_change():
    x = leaf(1.0, 2.0)
    y = (x + 1.0).sum()
    with mg.no_grad():
        x[0] = 5.0
    y.backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_copies_may_change():
    x = leaf(1.0, 2.0)
    y = x * x
    c = x.detach().copy()
    c[0] = 9.0
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_operators_with_assignment_make_new_tensors():
    x = leaf(1.0, 2.0)
    y = x
    y += 1.0
    y *= 2.0
    assert y is not x
    y.sum().backward()
    assert x.tolist() == [1.0, 2.0]
    assert x.grad.tolist() == [2.0, 2.0]


def write_to_broadcast():
    mg.broadcast_to(mg.zeros(1), (3,))[0] = 1.0


ERRORS = {
    "shape": (lambda: mg.zeros((2, 3)).__setitem__(0, mg.zeros(2)), mg.ShapeError, ["(2, 3)", "index 0"]),
    "too large": (lambda: mg.zeros(2, "uint8").__setitem__(0, 300), mg.DTypeError, ["uint8", "300"]),
    "outside": (lambda: mg.zeros((2, 3)).__setitem__(5, 1.0), IndexError, ["index 5", "(2, 3)"]),
    "read only": (write_to_broadcast, mg.ShapeError, ["(3,)", "read-only"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)


def test_numpy_reads_the_assigned_values():
    x = mg.zeros(2)
    array = np.asarray(x)
    x[1] = 3.0
    assert array.tolist() == [0.0, 3.0]
