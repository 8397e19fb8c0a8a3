"""A Tensor taken apart: the parts are slices, and so are their gradients, however many of them come back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import minigrad as mg
from claims.variants import without_compiler
from minigrad.ops.parts import parts, place_of_gradient
from minigrad.tensor import Tensor

CHANNELS = (3, 1, 4)
PROGRAMS: dict[str, Callable[[list[Tensor], Tensor], Tensor]] = {
    "all parts": lambda p, x: (p[0] ** 2).sum() + (p[1] ** 3).sum() + p[2].exp().sum(),
    "in another order": lambda p, x: (p[2] ** 2).sum() + (p[0] ** 3).sum() + p[1].exp().sum(),
    "the first alone": lambda p, x: (p[0] ** 2).sum(),
    "the last alone": lambda p, x: (p[2] ** 2).sum(),
    "not the one between": lambda p, x: (p[0] ** 2).sum() + (p[2] ** 3).sum(),
    "one of them twice": lambda p, x: (p[1] * p[1].exp()).sum() + (p[1] ** 2).sum(),
    "the whole before": lambda p, x: (x**2).sum() + (p[0] ** 2).sum() + (p[2] ** 3).sum(),
    "the whole after": lambda p, x: (p[0] ** 2).sum() + (p[2] ** 3).sum() + (x**2).sum(),
}


def images(device: str = "cpu") -> Tensor:
    values = np.random.default_rng(0).standard_normal((2, sum(CHANNELS), 3, 5))
    return mg.tensor(values, dtype="float64", device=device, requires_grad=True)


def slices(x: Tensor) -> list[Tensor]:
    ends = np.cumsum(CHANNELS)
    return [x[:, int(end) - count : int(end)] for count, end in zip(CHANNELS, ends, strict=True)]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("device", ["cpu", pytest.param("emulated", marks=without_compiler)])
@pytest.mark.parametrize("leaf", [True, False])
def test_gradients_are_those_of_slices(program: str, device: str, leaf: bool) -> None:
    found, expected = [], []
    for results, divide in ((found, lambda x: parts(x, CHANNELS)), (expected, slices)):
        x = images(device)
        y = x if leaf else x * 2
        run = PROGRAMS[program](divide(y), y)
        (first,) = mg.grad(run, [x], create_graph=True)
        (second,) = mg.grad((first**2).sum(), [x])
        y = x if leaf else x * 2
        PROGRAMS[program](divide(y), y).backward()
        assert x.grad is not None
        results += [run, first, second, x.grad]
    for ours, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), right.numpy(), rtol=1e-13, atol=1e-13)


def test_two_divisions_of_one_tensor_add_up() -> None:
    def run(first: Callable[[Tensor], list[Tensor]], second: Callable[[Tensor], list[Tensor]]) -> np.ndarray:
        x = images()
        y = x * 2
        (sum((p**2).sum() for p in first(y)) + sum((p**3).sum() for p in second(y)[1:])).backward()
        assert x.grad is not None
        return x.grad.numpy()

    divided = run(lambda y: parts(y, CHANNELS), lambda y: parts(y, CHANNELS))
    np.testing.assert_allclose(divided, run(slices, slices), rtol=1e-13)


def test_the_gradient_of_what_was_divided_can_be_asked_for() -> None:
    x = images()
    y = x * 2
    (gradient,) = mg.grad(sum((p**2).sum() for p in parts(y, CHANNELS)), [y])
    np.testing.assert_allclose(gradient.numpy(), 4 * x.numpy())


def test_gradients_have_places_side_by_side_once_in_each_pass() -> None:
    x = images() * 2
    made = [part.node for part in parts(x, CHANNELS)]
    like = np.empty((2, 1, 3, 5))
    for _ in range(2):
        places = [
            place_of_gradient(node, (2, count, 3, 5), like) for node, count in zip(made, CHANNELS, strict=True)
        ]
        ends = [place.ctypes.data + place.shape[1] * 8 for place in places]
        assert [place.ctypes.data for place in places[1:]] == ends[:-1]
    assert place_of_gradient(made[0], (2, 2, 3, 5), like) is None  # of another shape
    assert place_of_gradient(None, (2, 3, 3, 5), like) is None
