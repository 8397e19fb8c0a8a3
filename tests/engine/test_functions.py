"""Functions that a person writes, and hooks around the point where every Function is applied."""

import numpy as np
import pytest

import minigrad as mg
from claims.ops import assert_error


class Cube(mg.Function):
    def forward(self, x):
        return x**3

    def backward(self, gradient):
        (x,) = self.inputs
        return gradient * 3 * x * x


def leaf(*values):
    return mg.tensor(list(values), dtype="float64", requires_grad=True)


def test_a_function_of_ones_own_is_differentiable_to_any_order():
    x = leaf(2.0)
    (first,) = mg.grad(Cube()(x).sum(), x, create_graph=True)
    (second,) = mg.grad(first.sum(), x, create_graph=True)
    (third,) = mg.grad(second.sum(), x)
    assert [first.item(), second.item(), third.item()] == [12.0, 12.0, 6.0]


def test_broadcasting_and_dtypes_are_undone_outside_of_backward():
    class Add(mg.Function):
        def forward(self, a, b):
            return a + b

        def backward(self, gradient):
            return gradient, gradient

    a, b = mg.ones((2, 1, 3), requires_grad=True), mg.ones((4, 1), "float64", requires_grad=True)
    Add()(a, b).sum().backward()
    assert (a.grad.shape, a.grad.dtype) == ((2, 1, 3), np.float32)
    assert (b.grad.shape, b.grad.dtype) == ((4, 1), np.float64)
    assert a.grad.tolist() == [[[4.0] * 3]] * 2
    assert b.grad.tolist() == [[6.0]] * 4


def test_an_output_that_is_saved_stays_connected():
    class Exponential(mg.Function):
        saves_inputs, saves_output = False, True

        def forward(self, x):
            return np.exp(x)

        def backward(self, gradient):
            return gradient * self.output

    x = leaf(0.5)
    assert mg.gradcheck(lambda x: Exponential()(x), x)
    assert mg.gradgradcheck(lambda x: Exponential()(x), x)


def test_a_gradient_may_be_none():
    class First(mg.Function):
        def forward(self, a, b):
            return a * 1

        def backward(self, gradient):
            return gradient, None

    a, b = leaf(1.0), leaf(2.0)
    First()(a, b).sum().backward()
    assert a.grad.item() == 1.0
    assert b.grad is None


class WrongCount(Cube):
    def backward(self, gradient):
        return gradient, gradient


class WrongShape(Cube):
    def backward(self, gradient):
        return gradient.reshape(1, -1)[:, :1].reshape(1)[:0]


class NoBackward(mg.Function):
    def forward(self, x):
        return x * 2


def applied_twice():
    function = Cube()
    function(leaf(1.0))
    function(leaf(2.0))


ERRORS = {
    "count": (
        lambda: WrongCount()(leaf(1.0)).sum().backward(),
        mg.GraphError,
        ["WrongCount", "1 inputs", "2 gradients"],
    ),
    "shape": (
        lambda: WrongShape()(leaf(1.0, 2.0)).sum().backward(),
        mg.GraphError,
        ["WrongShape", "(0,)", "(2,)"],
    ),
    "backward": (lambda: NoBackward()(leaf(1.0)).sum().backward(), mg.GraphError, ["NoBackward", "no gradient"]),
    "forward": (lambda: mg.Function()(leaf(1.0)), NotImplementedError, ["Function", "no forward"]),
    "twice": (applied_twice, mg.GraphError, ["Cube", "applied before"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_the_function(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)


class Log(mg.Hook):
    def __init__(self, name, log):
        self.name, self.log = name, log

    def before_forward(self, function, inputs):
        self.log.append(f"{self.name} before {function.name} of {len(inputs)}")

    def after_forward(self, function, inputs, output):
        self.log.append(f"{self.name} after {function.name} {output.shape}")

    def before_backward(self, function, gradient):
        self.log.append(f"{self.name} before backward of {function.name}")

    def after_backward(self, function, gradient, results):
        self.log.append(f"{self.name} after backward of {function.name} {[r is not None for r in results]}")


def test_hooks_stand_around_forward_and_backward_like_brackets():
    log = []
    x = leaf(1.0, 2.0)
    with mg.hook(Log("outer", log), Log("inner", log)):
        Cube()(x)
    assert log == [
        "outer before Cube of 1",
        "inner before Cube of 1",
        "inner after Cube (2,)",
        "outer after Cube (2,)",
    ]


def test_hooks_see_the_backward_pass_and_what_it_computes():
    log = []
    x = leaf(2.0)
    y = x * x * 1.0
    with mg.hook(Log("", log)):
        y.sum().backward()
    assert [entry.split(" of ")[1] for entry in log if "before backward" in entry] == [
        "sum",
        "multiply",
        "multiply",
    ]
    assert any("before multiply" in entry for entry in log), "the gradient's own products go the same way"


def test_hooks_end_with_their_block_even_by_an_exception():
    log = []
    with pytest.raises(mg.ShapeError), mg.hook(Log("", log)):
        mg.zeros(2) + mg.zeros(3)
    before = len(log)
    mg.zeros(2) + 1
    assert len(log) == before
