"""Choices by measurement: when they hold, what goes before them, and what becomes of a file that is no good."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import registry, tuned
from minigrad.kernels.errors import KernelError
from minigrad.kernels.registry import Operation, default_choices, set_default_kernels, use_kernels, use_tuned
from minigrad.kernels.tuned import Choice, Tuned, load, merged, without_own

ARRAY = np.zeros(1)


@dataclass(frozen=True)
class Problem:
    size: int = 1


def only_small(problem: Problem) -> str | None:
    return None if problem.size < 10 else f"size {problem.size} is not below 10"


def measured(variant: str, size: int = 1, threads: int = 1, device: str = "cpu") -> Choice:
    return Choice(device, "sum", str(Problem(size)), threads, variant, "blocked", 1.5)


def table(*choices: Choice) -> Tuned:
    return Tuned({choice.key: choice for choice in choices})


@pytest.fixture(autouse=True)
def operation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operation]:
    """An operation, alone in the registry, of which "blocked" is the default; one thread."""
    monkeypatch.setattr(registry, "OPERATIONS", {})
    monkeypatch.delenv("MINIGRAD_KERNELS", raising=False)
    monkeypatch.setattr(tuned, "processor_of", lambda device: f"this {device}")
    default_choices.cache_clear()
    threads = mg.get_num_threads()
    mg.set_num_threads(1)
    operation = Operation("sum")
    operation.variant("reference", device="any")(lambda problem, x: "reference")
    operation.variant("blocked", device="cpu", priority=10)(lambda problem, x: "blocked")
    operation.variant("tiny", device="cpu", refuses=only_small)(lambda problem, x: "tiny")
    yield operation
    use_tuned(Tuned())
    default_choices.cache_clear()
    mg.set_num_threads(threads)


def chosen(operation: Operation, size: int = 1) -> Any:
    return operation(Problem(size), ARRAY)


def test_what_was_measured_goes_before_priorities(operation: Operation) -> None:
    assert chosen(operation) == "blocked"
    use_tuned(table(measured("tiny")))
    assert chosen(operation) == "tiny"
    assert chosen(operation, size=2) == "blocked"  # another problem, of which nothing is known


def test_a_choice_by_name_goes_before_what_was_measured(operation: Operation) -> None:
    use_tuned(table(measured("tiny")))
    with use_kernels(sum="reference"):
        assert chosen(operation) == "reference"
    with use_kernels(sum=("reference", "auto")):
        assert chosen(operation) == "reference"
    set_default_kernels("sum=blocked", "--kernels")
    assert chosen(operation) == "blocked"
    with use_kernels("auto"):
        assert chosen(operation) == "tiny"


def test_untuned_goes_by_priorities_alone(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tuned(table(measured("tiny")))
    with use_kernels("untuned"):
        assert chosen(operation) == "blocked"
    assert chosen(operation) == "tiny"
    monkeypatch.setenv("MINIGRAD_KERNELS", "untuned")
    default_choices.cache_clear()
    assert chosen(operation) == "blocked"


def test_untuned_is_no_name_for_a_variant(operation: Operation) -> None:
    with pytest.raises(KernelError, match="'untuned' is taken"):
        operation.variant("untuned", device="cpu")(chosen)


@pytest.mark.parametrize("size", [1, 10])
def test_a_winner_that_is_gone_or_refuses_leaves_the_choice_to_priorities(operation: Operation, size: int) -> None:
    winner = "tiny" if size == 10 else "gone"
    use_tuned(table(measured(winner, size)))
    assert chosen(operation, size) == "blocked"


def test_a_choice_holds_for_the_number_of_threads_it_was_measured_with(
    operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tuned(table(measured("tiny", threads=2), measured("reference", threads=1)))
    assert chosen(operation) == "reference"
    monkeypatch.setattr(registry, "get_num_threads", lambda: 2)  # wherever the tests run
    mg.set_num_threads(1)
    assert chosen(operation) == "tiny"


def test_a_kernel_of_the_users_own_is_another_one_when_its_file_has_changed(operation: Operation) -> None:
    operation.variant("mine", device="cpu")(lambda problem, x: "mine")
    operation.variants["mine"] = replace(operation.variants["mine"], origin="0123")
    use_tuned(table(measured("mine@0123")))
    assert chosen(operation) == "mine"
    operation.variants["mine"] = replace(operation.variants["mine"], origin="4567")
    registry.forget_selections()
    assert chosen(operation) == "blocked"


def test_a_selection_is_looked_up_once_a_problem(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Counting(Tuned):
        def variant(self, device: str, operation: str, problem: Any, threads: int) -> str | None:
            asked.append(problem)
            return super().variant(device, operation, problem, threads)

    use_tuned(Counting(table(measured("tiny")).choices))
    assert [chosen(operation), chosen(operation), chosen(operation, 2)] == ["tiny", "tiny", "blocked"]
    assert asked == [Problem(1), Problem(2)]


def test_a_file_gives_back_what_went_into_it(tmp_path: Path) -> None:
    choices = [measured("tiny"), measured("blocked", 3), measured("graph", 3, threads=0, device="cuda")]
    (tmp_path / "tuned.json").write_text(merged(None, choices))
    found = load(tmp_path / "tuned.json")
    assert list(found.choices.values()) == choices
    assert (found.origin, found.trouble) == (tmp_path / "tuned.json", "")


def test_new_choices_replace_those_of_the_same_problem_and_keep_the_others(tmp_path: Path) -> None:
    text = merged(None, [measured("tiny"), measured("tiny", 2)])
    (tmp_path / "tuned.json").write_text(merged(text, [measured("blocked"), measured("tiny", threads=2)]))
    found = load(tmp_path / "tuned.json").choices.values()
    assert set(found) == {measured("blocked"), measured("tiny", 2), measured("tiny", threads=2)}


def test_other_machines_keep_their_choices_in_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tuned.json"
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(tuned, "processor_of", lambda device: "another")
        path.write_text(merged(None, [measured("reference")]))
    assert load(path) == Tuned({}, path)  # theirs, and no trouble
    path.write_text(merged(path.read_text(), [measured("tiny")]))
    assert list(load(path).choices.values()) == [measured("tiny")]
    path.write_text(without_own(path.read_text()) or "")
    assert not load(path).choices
    monkeypatch.setattr(tuned, "processor_of", lambda device: "another")
    assert list(load(path).choices.values()) == [measured("reference")]
    assert without_own(path.read_text()) is None


def test_choices_of_other_sources_are_ignored_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tuned.json"
    path.write_text(merged(None, [measured("tiny"), measured("tiny", 2)]))
    monkeypatch.setattr(tuned, "sources", lambda: "changed")
    found = load(path)
    assert not found.choices
    assert found.trouble.startswith(f"2 tuned kernels of {path} are ignored, as the kernels have changed since")
    path.write_text(merged(path.read_text(), [measured("tiny", 3)]))
    assert load(path) == Tuned({measured("tiny", 3).key: measured("tiny", 3)}, path)


def broken(**changes: Any) -> str:
    """A file of one choice with some values changed."""
    content = json.loads(merged(None, [measured("tiny")]))
    content["machines"][0]["choices"][0] |= changes
    return json.dumps(content)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"format": "minigrad tuned 0", "machines": []}',
        '{"format": "minigrad tuned 1", "machines": 3}',
        '{"format": "minigrad tuned 1", "machines": [{"device": "cpu"}]}',
        broken(variant=3),
        broken(threads="two"),
        broken(unknown="field"),
        broken(gain=None),
        "[" * 100_000,
        "\udcff",
    ],
)
def test_a_broken_file_is_ignored_with_a_reason_and_written_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tuned.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    found = load(path)
    assert not found.choices
    assert found.trouble.startswith(f"the tuned kernels of {path} are ignored, as it ")
    assert list(json.loads(merged(text, [measured("tiny")]))["machines"][0]["choices"])


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in load(tmp_path).trouble


def test_trouble_is_a_warning_and_priorities_decide(
    operation: Operation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tuned.json").write_text("no JSON")
    monkeypatch.setattr(registry, "default_path", lambda: tmp_path / "tuned.json")
    use_tuned(None)
    with pytest.warns(RuntimeWarning, match="is broken"):
        assert chosen(operation) == "blocked"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen(operation, 2) == "blocked"  # told once


def test_choices_on_disk_hold_without_being_asked_for(
    operation: Operation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tuned.json").write_text(merged(None, [measured("tiny")]))
    monkeypatch.setattr(registry, "default_path", lambda: tmp_path / "tuned.json")
    use_tuned(None)
    assert chosen(operation) == "tiny"
