"""How often a kernel is timed, and what becomes of one that fails only then."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import pytest

from claims.attacks import assert_wrong, benched
from minigrad.kernels import conv2d
from minigrad.kernels.conv2d import Conv2dProblem
from minigrad.kernels.local_response_norm import LocalResponseNormProblem
from minigrad.workbench.case import Case
from minigrad.workbench.contracts import CONTRACTS
from minigrad.workbench.layers import Layer
from minigrad.workbench.roofline import Ceilings
from minigrad.workbench.session import Session
from minigrad.workbench.settings import Settings
from minigrad.workbench.table import layer_block, page
from minigrad.workbench.timing import FEWEST_ROUNDS, MOST_ROUNDS, Runner, measure

PROBLEM = Conv2dProblem(2, 5, (9, 7), 6, (3, 3), padding=(1, 1))
right = conv2d.forward.variants["reference"].function
pytestmark = pytest.mark.usefixtures("restored_variants")


class SlowToEmpty:
    """A clock that says that every call takes no time, and that takes `pause` seconds to empty the caches."""

    def __init__(self, pause: float) -> None:
        self.pause = pause

    def empty_caches(self) -> None:
        time.sleep(self.pause)

    def time(self, function: Callable[[], Any]) -> tuple[float, Any]:
        return 0.0, function()


def rounds(pause: float, seconds: float) -> int:
    """How often a right kernel is timed."""
    generator = Settings().generator("test")
    case = Case(CONTRACTS["conv2d_forward"], PROBLEM, "cpu", generator)
    runner = Runner("right", lambda number: right(PROBLEM, *case.sets[number].values()), 3e-5)
    measure([runner], case, SlowToEmpty(pause), seconds, False, generator)
    assert runner.failed is None
    return len(runner.seconds)


def test_emptying_the_caches_is_part_of_the_time_that_a_kernel_gets() -> None:
    assert rounds(pause=0.02, seconds=0.1) == FEWEST_ROUNDS


def test_no_kernel_is_timed_more_often_than_makes_a_difference() -> None:
    assert rounds(pause=0.0, seconds=1e9) == MOST_ROUNDS


def test_a_kernel_that_raises_only_while_it_is_timed() -> None:
    calls = 0

    def kernel(problem: Any, *arrays: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:  # the first three are those of the check
            raise OverflowError("too often")
        return right(problem, *arrays)

    row = benched(kernel, conv2d.forward, PROBLEM)
    assert_wrong(row, PROBLEM, "when it is timed, it raises OverflowError: too often", __file__)


def test_what_pytorch_cannot_compute_is_told_beside_the_times_of_ours() -> None:
    problem = LocalResponseNormProblem((1, 4, 3, 3), 3, dtype="float16")
    settings = Settings(dtype="float16", seconds=0.0, odd=0)
    (rows,) = Session(settings, Ceilings(1e10, 1e11)).measure([Layer("local_response_norm_forward", problem)])
    *ours, pytorch = rows
    assert {(row.verdict, row.over_pytorch, row.median_ms is None) for row in ours} == {("right", None, False)}
    assert (pytorch.variant, pytorch.verdict, pytorch.median_ms) == ("PyTorch", "yardstick", None)
    assert "not implemented for 'Half'" in pytorch.reason
    assert "PyTorch  yardstick: it raises NotImplementedError" in layer_block(rows, page(io.StringIO()))
