"""A kernel that works in place may change exactly what its contract says, each time anew, or it is caught."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from claims.attacks import Kernel, assert_wrong, benched
from minigrad.kernels import accumulate, batch_norm, optimizer_steps
from minigrad.kernels.accumulate import AccumulateProblem
from minigrad.kernels.batch_norm import BatchNormProblem
from minigrad.workbench.contracts.on_parameters import GradientNorm, SgdStep

SUM = AccumulateProblem((2, 5, 4, 3))
STEP = SgdStep(momentum=0.9, parameters=((3, 4), (), (500,)))
add_to = accumulate.add_to.variants["reference"].function
step = optimizer_steps.sgd.variants["reference"].function
pytestmark = pytest.mark.usefixtures("restored_variants")


def assert_caught(kernel: Kernel, *phrases: str, operation: Any = accumulate.add_to, problem: Any = SUM) -> None:
    """A kernel is found to be wrong."""
    assert_wrong(benched(kernel, operation, problem), problem, *phrases)


@pytest.mark.parametrize(
    ("operation", "problem"),
    [
        (accumulate.add_to, SUM),
        (optimizer_steps.sgd, STEP),
        (optimizer_steps.squared_norm, GradientNorm(parameters=((3, 4), ()))),
        (batch_norm.move_statistics, BatchNormProblem((2, 5, 4, 3))),
    ],
)
def test_an_honest_kernel_gets_a_time(operation: Any, problem: Any) -> None:
    row = benched(operation.variants["reference"].function, operation, problem)
    assert (row.verdict, row.reason) == ("right", "")
    assert row.median_ms is not None


def test_nothing_is_done() -> None:
    assert_caught(lambda problem, a, b: None, "a[", "should be")


def test_it_is_done_twice() -> None:
    def kernel(problem: Any, a: Any, b: Any) -> None:
        add_to(problem, a, b)
        add_to(problem, a, b)

    assert_caught(kernel, "a[")


def test_a_result_is_returned() -> None:
    assert_caught(lambda problem, a, b: a + b, "it returns ndarray, and has to change a")


def test_another_argument_is_changed() -> None:
    def kernel(problem: Any, a: Any, b: Any) -> None:
        add_to(problem, a, b)
        b[1, 2, 3, 0] = 0

    assert_caught(kernel, "it changes its argument b, at index (1, 2, 3, 0)")


def test_a_gradient_is_changed_by_a_step() -> None:
    def kernel(problem: Any, parameters: Any, gradients: Any, *others: Any) -> None:
        step(problem, parameters, gradients, *others)
        gradients[2][7] += 1

    assert_caught(kernel, "it changes its argument gradients", operation=optimizer_steps.sgd, problem=STEP)


def test_one_parameter_is_left_out() -> None:
    def kernel(
        problem: Any, parameters: Any, gradients: Any, momenta: Any, rate: float, steps: Any, *rest: Any
    ) -> None:
        step(problem, parameters[:2], gradients[:2], momenta[:2], rate, steps[:2], *rest)

    assert_caught(kernel, "parameters[2][", operation=optimizer_steps.sgd, problem=STEP)


def test_state_is_left_as_it_was() -> None:
    def kernel(problem: Any, parameters: Any, gradients: Any, momenta: Any, *others: Any) -> None:
        step(problem, parameters, gradients, [m.copy() for m in momenta], *others)

    assert_caught(kernel, "momenta[0][", operation=optimizer_steps.sgd, problem=STEP)


def test_nan_in_one_place() -> None:
    def kernel(problem: Any, a: Any, b: Any) -> None:
        add_to(problem, a, b)
        a[1, 2, 3, 0] = np.nan

    assert_caught(kernel, "a[1, 2, 3, 0] is nan", "1 of 120 elements")


def test_a_cache_by_the_address_of_what_is_changed() -> None:
    cache: dict[int, Any] = {}

    def kernel(problem: Any, a: Any, b: Any) -> None:
        address = a.ctypes.data
        if address not in cache:
            add_to(problem, a, b)
            cache[address] = a.copy()
        a[...] = cache[address]

    assert_caught(kernel, "it remembers addresses")


def test_a_cache_that_begins_when_it_has_been_checked() -> None:
    cache: dict[int, Any] = {}
    calls = 0

    def kernel(problem: Any, a: Any, b: Any) -> None:
        nonlocal calls
        calls += 1
        if calls <= 5 or a.ctypes.data not in cache:
            add_to(problem, a, b)
            cache[a.ctypes.data] = a.copy()
        a[...] = cache[a.ctypes.data]

    assert_caught(kernel, "after it was timed", "it remembers addresses")


@pytest.mark.parametrize("timed", [True, False])
def test_work_only_when_it_is_timed_or_only_when_it_is_not(timed: bool) -> None:
    calls = 0

    def kernel(problem: Any, a: Any, b: Any) -> None:
        nonlocal calls
        calls += 1
        if (calls > 3) == timed:
            add_to(problem, a, b)

    assert_caught(kernel, *([] if timed else ["when it is timed, a["]))


@pytest.mark.parametrize("calls_on_time", [0, 3])
def test_a_return_before_the_work_is_done(calls_on_time: int) -> None:
    calls = 0

    def kernel(problem: Any, a: Any, b: Any) -> None:
        nonlocal calls
        calls += 1

        def work(pause: float) -> None:
            time.sleep(pause)
            add_to(problem, a, b)

        if calls <= calls_on_time:
            work(0)
        else:
            threading.Thread(target=work, args=(0.05,)).start()

    assert_caught(kernel, "a[", *(["as it returns"] if calls_on_time else []))


def test_an_exception_on_the_way_does_not_harm_the_variants_that_follow() -> None:
    from minigrad.workbench.layers import Layer
    from minigrad.workbench.roofline import Ceilings
    from minigrad.workbench.session import Session
    from minigrad.workbench.settings import Settings

    def kernel(problem: Any, a: Any, b: Any) -> None:
        a += 7
        raise ZeroDivisionError("on the way")

    accumulate.add_to.variants = {}
    accumulate.add_to.variant("attack", device="cpu")(kernel)
    accumulate.add_to.variant("reference", device="cpu")(add_to)
    settings = Settings(seconds=0.0, odd=2, with_pytorch=False)
    odd, rows = Session(settings, Ceilings(1e10, 1e11)).measure([Layer("accumulate_add_to", SUM)])
    assert [row.verdict for row in odd] == ["wrong", "right"]
    assert [row.verdict for row in rows] == ["wrong", "right"]
    assert "it raises ZeroDivisionError: on the way" in rows[0].reason
