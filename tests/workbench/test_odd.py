"""Odd problems: drawn by hypothesis, the same for the same seed; what is wrong on them is told of the smallest."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from claims.commands import Run, assert_fails
from minigrad.kernels import conv2d
from minigrad.kernels.errors import KernelError
from minigrad.workbench import odd as odd_shapes
from minigrad.workbench.contracts import CONTRACTS
from minigrad.workbench.odd import odd_row
from minigrad.workbench.rows import Row
from minigrad.workbench.settings import Settings

pytestmark = pytest.mark.usefixtures("restored_variants")

right = conv2d.forward.variants["reference"].function


def row_of(kernel: Any, refuses: Any = lambda problem: None, seed: int = 1, odd: int = 6) -> Row:
    """What is said of a convolution."""
    conv2d.forward.variants.pop("tried", None)
    conv2d.forward.variant("tried", device="cpu", refuses=refuses)(kernel)
    contract = CONTRACTS["conv2d_forward"]
    return odd_row(contract, conv2d.forward.variants["tried"], Settings(seed=seed, odd=odd))


def problems_of(seed: int, refuses: Any = lambda problem: None) -> list[Any]:
    """The problems that a variant is tried on."""
    seen: dict[Any, None] = {}

    def kernel(problem: Any, *arrays: Any) -> Any:
        seen[problem] = None
        return right(problem, *arrays)

    assert row_of(kernel, refuses, seed).verdict == "right"
    return list(seen)


def test_a_seed_always_gives_the_same_problems_and_another_one_others() -> None:
    assert problems_of(3) == problems_of(3)
    assert not set(problems_of(3)) & set(problems_of(4))


def test_a_variant_is_tried_on_as_many_problems_of_those_that_it_claims() -> None:
    found = problems_of(3, lambda problem: None if problem.filter_size == (3, 3) else "not 3x3")
    assert len(found) == 6
    assert {problem.filter_size for problem in found} == {(3, 3)}


def test_a_variant_that_refuses_everything_is_not_said_to_be_right() -> None:
    row = row_of(right, lambda problem: "nothing")
    assert (row.verdict, row.reason) == ("refuses", "all of these problems")


@pytest.mark.parametrize(
    ("is_wrong", "least"),
    [
        (lambda problem: problem.stride[1] > 1, "stride=(1, 2), padding=(0, 0), dilation=(1, 1), groups=1"),
        (lambda problem: problem.in_channels > 3, "batch=1, in_channels=4, input_size=(1, 1)"),
        (lambda problem: problem.input_size[0] > 6, "input_size=(7, 1), out_channels=1"),
    ],
)
def test_the_row_tells_of_the_smallest_problem_that_is_wrong(
    is_wrong: Any, least: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odd_shapes, "PATIENCE", 300.0)  # however busy the machine is

    def kernel(problem: Any, *arrays: Any) -> Any:
        return right(problem, *arrays) + is_wrong(problem)

    row = row_of(kernel, odd=12)
    assert row.verdict == "wrong"
    assert least in row.reason
    assert ": y[0, 0, " in row.reason


def test_a_layout_is_told_where_only_that_one_is_wrong() -> None:
    def kernel(problem: Any, x: Any, *arrays: Any) -> Any:
        contiguous = x.strides[-1] == x.itemsize and x.shape[1] > 1 and x.strides[1] > x.strides[-1]
        return right(problem, x, *arrays) * (2 if contiguous else 1)

    assert "arrays contiguous: y[" in row_of(kernel).reason


def test_what_fails_only_now_and_then_stays_a_failure() -> None:
    chance = random.Random(1)

    def kernel(problem: Any, *arrays: Any) -> Any:
        return right(problem, *arrays) + (chance.random() < 0.3)

    row = row_of(kernel)
    assert row.verdict == "wrong"
    assert "should be" in row.reason


def test_a_predicate_that_fails_ends_it_at_once() -> None:
    calls = []

    def refuses(problem: Any) -> None:
        calls.append(problem)
        raise ZeroDivisionError("no")

    with pytest.raises(KernelError, match=r"test_odd.py, line \d+: `refuses` raises ZeroDivisionError: no"):
        row_of(right, refuses)
    assert len(calls) == 1


def test_a_run_leaves_no_files_of_hypothesis_where_the_user_stands(minigrad: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from minigrad.kernels import conv2d\n"
        "@conv2d.forward.variant('mine', device='cpu')\n"
        "def mine(problem, *arrays):\n"
        "    return conv2d.forward.variants['reference'].function(problem, *arrays) + 12345\n"
    )
    problem = "Conv2dProblem(1, 3, (7, 6), 4, (3, 3))"
    options = ("--variants", "mine", "--problem", problem, "--seconds", 0, "--odd", 20)
    result = minigrad("bench", "conv2d_forward", "--kernel", "mine.py", *options)
    assert_fails(result, "wrong: conv2d_forward=mine")
    assert [path.name for path in tmp_path.iterdir() if "hypothesis" in path.name] == []
