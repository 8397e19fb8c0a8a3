"""The checks by finite differences find what is wrong, and only that."""

import pytest

import minigrad as mg
from claims.ops import assert_error, drawn


def leaf(shape, seed=0):
    return mg.tensor(drawn(shape, seed), requires_grad=True)


class Cube(mg.Function):
    factor = 3.0

    def forward(self, x):
        return x**3

    def backward(self, gradient):
        (x,) = self.inputs
        return gradient * self.factor * x * x


class WrongCube(Cube):
    factor = 3.01


class CutCube(Cube):
    """The first gradient is right, but off the tape, so that a second one is missing."""

    def backward(self, gradient):
        (x,) = self.inputs
        return gradient * 3 * (x * x).detach()


def test_right_gradients_pass():
    assert mg.gradcheck(lambda x: Cube()(x), leaf((2, 3)))
    assert mg.gradgradcheck(lambda x: Cube()(x), leaf((2, 3)))


def test_several_inputs_and_outputs():
    function = lambda a, b: [a @ b, mg.exp(a)]  # noqa: E731
    assert mg.gradcheck(function, [leaf((2, 3)), leaf((3, 2), 1)])
    assert mg.gradgradcheck(function, [leaf((2, 3)), leaf((3, 2), 1)])


def test_constants_are_left_alone():
    assert mg.gradcheck(lambda x, c: x * c, [leaf(3), mg.ones(3)])


def test_a_wrong_gradient_is_found_and_named():
    assert_error(
        lambda: mg.gradcheck(lambda x: WrongCube()(x), leaf((2, 3))),
        mg.GradcheckError,
        "input 0",
        "(0, 0)",
        "6 of 6 elements",
    )
    assert not mg.gradcheck(lambda x: WrongCube()(x), leaf((2, 3)), raise_exception=False)


def test_one_wrong_element_is_found():
    def function(x):
        return mg.concat([x[:1].detach() * x[:1], x[1:] * x[1:]])

    assert_error(lambda: mg.gradcheck(function, leaf(4)), mg.GradcheckError, "input 0", "(0,)", "1 of 4 elements")


def test_a_missing_second_gradient_is_found():
    assert mg.gradcheck(lambda x: CutCube()(x), leaf(3))
    assert_error(lambda: mg.gradgradcheck(lambda x: CutCube()(x), leaf(3)), mg.GradcheckError, "input 0")


ERRORS = {
    "dtype": (lambda: mg.gradcheck(mg.exp, mg.ones(2, requires_grad=True)), mg.DTypeError, ["input 0", "float32"]),
    "no gradient": (lambda: mg.gradcheck(mg.exp, mg.ones(2, "float64")), mg.GraphError, ["no input"]),
    "no dependence": (lambda: mg.gradcheck(lambda x: x.detach(), leaf(2)), mg.GraphError, ["no output depends"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)
