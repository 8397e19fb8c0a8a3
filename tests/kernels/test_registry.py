"""How a kernel variant is chosen, and that nothing falls back silently."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from minigrad.kernels import registry
from minigrad.kernels.errors import KernelError
from minigrad.kernels.registry import Operation, default_choices, parse_choices, set_default_kernels, use_kernels

ARRAY = np.zeros(1)


@dataclass(frozen=True)
class Problem:
    size: int = 1


def only_small(problem: Problem) -> str | None:
    return None if problem.size < 10 else f"size {problem.size} is not below 10"


@pytest.fixture(autouse=True)
def family(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Operation, Operation]]:
    """Two operations of one family, alone in the registry: a forward with three variants, a gradient with two."""
    monkeypatch.setattr(registry, "OPERATIONS", {})
    monkeypatch.delenv("MINIGRAD_KERNELS", raising=False)
    default_choices.cache_clear()
    forward, gradient = Operation("norm_forward", "norm"), Operation("norm_gradient", "norm")
    for operation in (forward, gradient):
        operation.variant("reference", device="any")(lambda problem, x: "reference")
        operation.variant("blocked", device="cpu", priority=10)(lambda problem, x: "blocked")
    forward.variant("tiny", device="cpu", priority=20, refuses=only_small)(lambda problem, x: "tiny")
    gradient.variant("graph", device="cuda", priority=30)(lambda problem, x: "graph")
    yield forward, gradient
    default_choices.cache_clear()


def chosen(operation: Operation, size: int = 1) -> str:
    return operation(Problem(size), ARRAY)


def test_the_best_variant_that_can_run_is_chosen(family: tuple[Operation, Operation]) -> None:
    forward, gradient = family
    assert chosen(forward) == "tiny"
    assert chosen(forward, size=10) == "blocked"
    assert chosen(gradient) == "blocked"  # "graph" is better, but runs on another device


def test_a_priority_may_depend_on_the_problem(family: tuple[Operation, Operation]) -> None:
    forward, _ = family
    forward.variant("long", device="cpu", priority=lambda problem: problem.size)(lambda problem, x: "long")
    assert [chosen(forward, size) for size in (5, 25, 15)] == ["tiny", "long", "long"]


def test_a_variant_with_a_negative_priority_runs_only_by_name(family: tuple[Operation, Operation]) -> None:
    operation = Operation("scale", "scale")
    operation.variant("rough", device="cpu", priority=-1)(lambda problem, x: "rough")
    operation.variant("reference", device="any")(lambda problem, x: "reference")
    assert chosen(operation) == "reference"
    with use_kernels(scale="rough"):
        assert chosen(operation) == "rough"


def test_all_that_can_run_are_listed_best_first(family: tuple[Operation, Operation]) -> None:
    forward, _ = family
    assert [variant.name for variant in forward.able(Problem(1), "cpu")] == ["tiny", "blocked", "reference"]
    assert [variant.name for variant in forward.able(Problem(10), "cuda")] == ["reference"]


def test_a_list_of_arrays_is_asked_for_its_device_too(family: tuple[Operation, Operation]) -> None:
    assert family[0](Problem(), [ARRAY, ARRAY]) == "tiny"


@pytest.mark.parametrize("name", ["norm_forward", "norm", "all"])
def test_one_operation_a_family_or_everything_can_be_named(family: tuple[Operation, Operation], name: str) -> None:
    with use_kernels(**{name: "reference"}):
        assert chosen(family[0]) == "reference"
        assert chosen(family[1]) == ("blocked" if name == "norm_forward" else "reference")
    assert chosen(family[0]) == "tiny"


def test_a_bare_name_means_everything(family: tuple[Operation, Operation]) -> None:
    with use_kernels("reference"):
        assert [chosen(operation) for operation in family] == ["reference", "reference"]
    with use_kernels("reference", norm_forward="blocked"):
        assert [chosen(operation) for operation in family] == ["blocked", "reference"]


def test_within_a_family_an_operation_without_that_variant_keeps_its_choice(
    family: tuple[Operation, Operation],
) -> None:
    with use_kernels(norm="tiny"):
        assert [chosen(operation) for operation in family] == ["tiny", "blocked"]


def test_a_preference_is_tried_in_order(family: tuple[Operation, Operation]) -> None:
    forward, _ = family
    with use_kernels(norm_forward=("tiny", "reference")):
        assert [chosen(forward, size) for size in (1, 10)] == ["tiny", "reference"]
    with use_kernels(norm_forward=("tiny", "auto")):
        assert [chosen(forward, size) for size in (1, 10)] == ["tiny", "blocked"]


def test_inner_choices_win_and_the_outer_ones_return(family: tuple[Operation, Operation]) -> None:
    forward, gradient = family
    with use_kernels(norm="reference"):
        with use_kernels(norm_forward="blocked"):
            assert [chosen(forward), chosen(gradient)] == ["blocked", "reference"]
            with use_kernels(norm_forward="auto"):
                assert chosen(forward) == "tiny"
        assert chosen(forward) == "reference"
    assert chosen(forward) == "tiny"


def test_the_choice_ends_with_an_error_in_the_block(family: tuple[Operation, Operation]) -> None:
    with pytest.raises(ZeroDivisionError), use_kernels(norm="reference"):
        raise ZeroDivisionError
    assert chosen(family[0]) == "tiny"


def test_a_variant_asked_for_by_name_does_not_fall_back(family: tuple[Operation, Operation]) -> None:
    forward, gradient = family
    with use_kernels(norm_forward="tiny"), pytest.raises(KernelError) as caught:
        chosen(forward, size=12)
    assert str(caught.value) == (
        "norm_forward: variant 'tiny' cannot run Problem(size=12): size 12 is not below 10 "
        "(variants that can: blocked, reference)"
    )
    with (
        use_kernels(norm_gradient="graph"),
        pytest.raises(KernelError, match="it runs on cuda, the arrays are on cpu"),
    ):
        chosen(gradient)


def test_where_nothing_can_run_each_reason_is_given() -> None:
    operation = Operation("narrow")
    operation.variant("tiny", device="cpu", refuses=only_small)(lambda problem, x: None)
    operation.variant("graph", device="cuda")(lambda problem, x: None)
    with pytest.raises(KernelError) as caught:
        chosen(operation, size=10)
    assert "variant 'tiny' cannot run Problem(size=10): size 10 is not below 10" in str(caught.value)
    assert "variant 'graph' cannot run Problem(size=10): it runs on cuda" in str(caught.value)
    assert "(variants that can: none)" in str(caught.value)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"morm": "reference"}, "there is no operation 'morm'; there are: norm, norm_forward, norm_gradient"),
        ({"norm": "fast"}, "norm has no variant 'fast'; it has: blocked, graph, reference, tiny, auto"),
        ({"norm_forward": ("tiny", "graph")}, "norm_forward has no variant 'graph'"),
        ({"all": "fast"}, "all has no variant 'fast'"),
        ({"norm": 3}, "norm must name a variant, or be a tuple of names, got 3"),
        ({"norm": None}, "norm must name a variant, or be a tuple of names, got None"),
        ({"norm": ()}, "norm must name a variant, or be a tuple of names, got ()"),
        ({"norm": ("tiny", 3)}, "norm must name a variant, or be a tuple of names, got ('tiny', 3)"),
    ],
)
def test_what_names_no_variant_is_refused_by_the_call_itself(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(KernelError) as caught:
        use_kernels(**choices)
    assert message in str(caught.value)


def test_a_choice_that_no_block_uses_warns() -> None:
    with pytest.warns(RuntimeWarning, match="without `with` changes nothing") as caught:
        use_kernels(norm="tiny")
    assert caught[0].filename == __file__  # the line of the call, where it can be mended


def test_a_choice_can_be_kept_used_twice_and_decorate_a_function(family: tuple[Operation, Operation]) -> None:
    forward, _ = family
    choice = use_kernels(norm="reference")
    for _ in range(2):
        with choice:
            assert chosen(forward) == "reference"
        assert chosen(forward) == "tiny"

    @use_kernels(norm="reference")
    def inside() -> str:
        return chosen(forward)

    assert [inside(), chosen(forward), inside()] == ["reference", "tiny", "reference"]


def test_the_syntax_of_flag_and_environment() -> None:
    assert parse_choices("norm=tiny|auto, norm_gradient = blocked", "flag") == {
        "norm": ("tiny", "auto"),
        "norm_gradient": ("blocked",),
    }
    assert parse_choices("reference", "flag") == {"all": ("reference",)}
    assert parse_choices(" , ", "flag") == {}
    with pytest.raises(KernelError, match="flag: 'norm=' names no variant; write OP=VARIANT"):
        parse_choices("norm=", "flag")


def test_a_default_holds_until_a_block_says_otherwise(family: tuple[Operation, Operation]) -> None:
    forward, _ = family
    set_default_kernels("norm=reference", "--kernels")
    assert chosen(forward) == "reference"
    with use_kernels(norm="auto"):
        assert chosen(forward) == "tiny"
    with pytest.raises(KernelError, match="--kernels: there is no operation 'morm'"):
        set_default_kernels("morm=reference", "--kernels")


def test_the_environment_is_read_and_named_in_errors(
    family: tuple[Operation, Operation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIGRAD_KERNELS", "norm_forward=blocked")
    assert chosen(family[0]) == "blocked"
    default_choices.cache_clear()  # as in a new program
    monkeypatch.setenv("MINIGRAD_KERNELS", "norm=fast")
    with pytest.raises(KernelError, match=r"\$MINIGRAD_KERNELS: norm has no variant 'fast'"):
        chosen(family[0])


def test_a_variant_added_later_is_considered(family: tuple[Operation, Operation]) -> None:
    forward, _ = family
    assert chosen(forward) == "tiny"
    forward.variant("mine", device="cpu", priority=99)(lambda problem, x: "mine")
    assert chosen(forward) == "mine"


@pytest.mark.parametrize("name", ["tiny", "auto"])
def test_a_name_that_is_taken_is_refused(family: tuple[Operation, Operation], name: str) -> None:
    with pytest.raises(KernelError, match=f"norm_forward: the variant name '{name}' is taken"):
        family[0].variant(name, device="cpu")(lambda problem, x: None)


def test_a_program_starts_with_the_choice_of_its_environment() -> None:
    """In a process of its own, with the real operations."""
    program = """
import numpy as np
import minigrad
from minigrad.kernels import concat
problem = concat.ConcatProblem(((1, 1, 1, 1),) * 2, 1)
print(concat.forward.select(problem, "cpu").name)
"""
    environment = {**os.environ, "MINIGRAD_KERNELS": "concat=reference"}
    finished = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert finished.stdout.strip() == "reference", finished.stderr
