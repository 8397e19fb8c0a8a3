"""Tuning: the fastest variant that is right is kept, a tie keeps the default, and runs go by what was kept.

The clock is the tests' own: planted kernels say how long they take, all others take a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from claims.commands import Run, assert_fails, without_compilation
from claims.tiny import options
from minigrad.kernels import conv2d, registry
from minigrad.kernels.conv2d import Conv2dProblem
from minigrad.kernels.registry import tuned, use_tuned
from minigrad.kernels.tuned import Choice, Tuned, load
from minigrad.workbench import session
from minigrad.workbench.autotune import Tuner, contested, keep, untuned_layers
from minigrad.workbench.layers import Layer
from minigrad.workbench.roofline import Ceilings
from minigrad.workbench.session import Session
from minigrad.workbench.settings import Settings

PROBLEM = Conv2dProblem(2, 5, (9, 7), 6, (3, 3), padding=(1, 1))
LAYER = Layer("conv2d_forward", PROBLEM, ("conv",))
right = conv2d.forward.variants["reference"].function
Kernel = Callable[..., Any]


class Clock:
    """Time that passes only where a planted kernel says so."""

    now = 0.0

    def empty_caches(self) -> None:
        pass

    def time(self, function: Callable[[], Any]) -> tuple[float, Any]:
        before = self.now
        result = function()
        return (self.now - before) or 1.0, result


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(session, "CpuClock", lambda: clock)
    return clock


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where choices are kept; what a test registers and tunes is gone after it."""
    before = dict(conv2d.forward.variants)
    path = tmp_path / "cache" / "tuned.json"
    monkeypatch.setattr(registry, "default_path", lambda: path)
    use_tuned(None)
    yield path
    conv2d.forward.variants = before
    use_tuned(Tuned())


def plant(clock: Clock, name: str, *seconds: float, priority: int = 0, kernel: Kernel = right) -> None:
    """A kernel of the forward convolution that takes `seconds`, each at one call, over and over."""
    durations = itertools.cycle(seconds)

    def planted(*arguments: Any) -> Any:
        clock.now += next(durations)
        return kernel(*arguments)

    conv2d.forward.variant(name, device="cpu", priority=priority)(planted)


def tune(clock: Clock, path: Path, seconds: float = 0.0, hopeless: float = 1e9) -> Choice:
    """What is kept of one layer of the forward convolution."""
    tuner = Tuner([LAYER], mg.get_num_threads(), path)
    settings = Settings(seconds=seconds, odd=0, with_pytorch=False, hopeless=hopeless)
    for rows in Session(settings, Ceilings(1e10, 1e11), clock=clock).measure([LAYER]):
        tuner.note(rows)
    (choice,) = tuner.choices
    assert list(load(path).choices.values()) == [choice]
    return choice


def test_the_fastest_is_kept_and_runs_from_then_on(clock: Clock, path: Path) -> None:
    default = conv2d.forward.select(PROBLEM, "cpu").name
    plant(clock, "fast", 0.25)
    plant(clock, "slow", 4.0)
    choice = tune(clock, path)
    assert (choice.variant, choice.default, choice.gain) == ("fast", default, 4.0)
    assert (choice.device, choice.operation, choice.problem) == ("cpu", "conv2d_forward", str(PROBLEM))
    assert choice.threads == mg.get_num_threads()
    assert conv2d.forward.select(PROBLEM, "cpu").name == "fast"


def test_a_tie_keeps_the_default(clock: Clock, path: Path) -> None:
    plant(clock, "usual", 0.5, priority=1000)
    plant(clock, "restless", 0.3, 0.6)  # its median may be lower, and its interval holds that of the default
    choice = tune(clock, path)
    assert (choice.variant, choice.default, choice.gain) == ("usual", "usual", 1.0)


def test_a_kernel_that_runs_only_by_name_is_not_kept_however_fast(clock: Clock, path: Path) -> None:
    plant(clock, "rough", 0.01, priority=-1)
    plant(clock, "fast", 0.5)
    assert tune(clock, path).variant == "fast"
    assert "rough" not in contested([LAYER], "cpu")[LAYER]


def test_a_wrong_kernel_is_not_kept_however_fast(clock: Clock, path: Path) -> None:
    plant(clock, "wrong", 0.01, kernel=lambda *arguments: right(*arguments) + np.float32(1))
    plant(clock, "fast", 0.5)
    assert tune(clock, path).variant == "fast"


def test_a_default_that_is_wrong_is_replaced(clock: Clock, path: Path) -> None:
    plant(clock, "wrong", 0.01, priority=1000, kernel=lambda *arguments: right(*arguments) + np.float32(1))
    plant(clock, "fast", 0.5)
    choice = tune(clock, path)
    assert (choice.variant, choice.default) == ("fast", "wrong")


def test_a_hopeless_variant_is_timed_no_further(clock: Clock) -> None:
    plant(clock, "fast", 0.25)
    plant(clock, "hopeless", 0.9)
    settings = Settings(variants=("fast", "hopeless"), seconds=0, odd=0, with_pytorch=False, hopeless=3.0)
    ((fast, hopeless),) = Session(settings, Ceilings(1e10, 1e11), clock=clock).measure([LAYER])
    assert (fast.rounds, fast.standing) == (5, "fastest")
    assert (hopeless.rounds, hopeless.median_ms, hopeless.standing) == (1, pytest.approx(900), "")


def test_with_few_images_to_check_all_are_timed_and_the_share_of_the_roofline_is_theirs(clock: Clock) -> None:
    batches = []

    def seen(problem: Any, *arrays: Any) -> Any:
        batches.append(problem.batch)
        return right(problem, *arrays)

    plant(clock, "seen", 0.25, kernel=seen)
    settings = Settings(variants=("seen",), seconds=0, odd=0, with_pytorch=False, checked_images=1)
    ((row,),) = Session(settings, Ceilings(1e10, 1e11), clock=clock).measure([LAYER])
    assert (row.verdict, row.problem, row.median_ms) == ("right", str(PROBLEM), pytest.approx(250))
    assert batches == [1] * 3 + [2] * 6 + [1] * 3  # checked, timed, checked again
    assert row.work == 2 * PROBLEM.multiply_adds
    assert row.roofline == pytest.approx(max(row.work / 1e11, row.bytes_moved / 1e10) / 0.25)


def test_what_is_known_need_not_be_measured_again(clock: Clock, path: Path) -> None:
    other = Layer("conv2d_forward", Conv2dProblem(1, 5, (9, 7), 6, (3, 3)))
    threads = mg.get_num_threads()
    assert untuned_layers([LAYER, other], "cpu", threads) == [LAYER, other]
    tune(clock, path)
    assert untuned_layers([LAYER, other], "cpu", threads) == [other]
    assert untuned_layers([LAYER, other], "cpu", threads + 1) == [LAYER, other]


def test_layers_with_a_single_fast_variant_are_not_contested() -> None:
    names = contested([LAYER], "cpu")[LAYER]
    assert "reference" not in names
    assert len(names) > 1
    alone = registry.Operation("alone")
    try:
        alone.variant("reference", device="any")(right)
        alone.variant("fast", device="cpu")(right)
        assert contested([Layer("alone", PROBLEM)], "cpu") == {}
    finally:
        del registry.OPERATIONS["alone"]


def test_a_full_disk_or_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(mg.MinigradError, match="cannot write"):
        keep([], tmp_path / "file" / "tuned.json")


BENCH = ("--problem", str(PROBLEM), "--odd", 1, "--seconds", 0, "--without-pytorch", "--autotune")


def test_bench_keeps_the_best_and_minigrad_kernels_says_so(clock: Clock, path: Path, minigrad: Run) -> None:
    assert f"nothing (minigrad bench all --autotune measures, and keeps it in {path})" in minigrad("kernels").out
    plant(clock, "fast", 0.25)
    result = minigrad("bench", "conv2d_forward", *BENCH)
    assert result.status == 0, result.err
    line = "tuned 1 problems: another variant than the default for 1, up to 4.00 times as fast; "
    assert result.out.splitlines()[-1] == f"{line}kept in {path}"
    shown = minigrad("kernels").out
    assert f"tuned for this machine, in {path}:\n  cpu, 1 threads: 1 problems, 1 by another variant" in shown


def test_forgetting_leaves_the_default(clock: Clock, path: Path, minigrad: Run) -> None:
    default = conv2d.forward.select(PROBLEM, "cpu").name
    plant(clock, "fast", 0.25)
    minigrad("bench", "conv2d_forward", *BENCH)
    assert conv2d.forward.select(PROBLEM, "cpu").name == "fast"
    result = minigrad("kernels", "--forget-tuned")
    assert (result.status, result.out) == (0, f"forgot 1 tuned kernels of this machine, in {path}\n")
    assert not path.exists()
    assert conv2d.forward.select(PROBLEM, "cpu").name == default
    assert minigrad("kernels", "--forget-tuned").out.startswith("forgot 0 tuned kernels")


def test_an_interrupted_run_has_kept_the_layers_that_it_measured(
    clock: Clock, path: Path, minigrad: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = Tuner.note

    def interrupted(tuner: Tuner, rows: Any) -> None:
        note(tuner, rows)
        if tuner.choices:
            raise KeyboardInterrupt

    monkeypatch.setattr(Tuner, "note", interrupted)
    another = ("--problem", str(Conv2dProblem(1, 5, (9, 7), 6, (3, 3))))
    result = minigrad("bench", "conv2d_forward", *BENCH, *another)
    words = f"tuned 1 problems: another variant than the default for 0; kept in {path}"
    assert_fails(result, "interrupted", words, status=130)
    assert len(load(path).choices) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("bench", "conv2d_forward", "--autotune", "--device", "emulated"), "--autotune needs times"),
        (("bench", "sgd_step", "--autotune"), "training asks for sgd_step without the sizes"),
        (("bench", "conv2d_forward", "--autotune", "--variants", "direct"), "leave --variants out"),
    ],
)
def test_tuning_that_has_no_meaning_is_refused(minigrad: Run, arguments: tuple[str, ...], words: str) -> None:
    assert_fails(minigrad(*arguments), words, status=2)


def test_training_tunes_its_own_layers_first_and_goes_by_the_choices(
    clock: Clock, path: Path, minigrad: Run, images: Path
) -> None:
    ran = []

    def seen(problem: Any, *arrays: Any) -> Any:
        ran.append(str(problem))
        return right(problem, *arrays)

    plant(clock, "fast", 0.25, kernel=seen)
    result = minigrad("train", *options(images, "--epochs", "1", "--name", "a", "--autotune"))
    assert result.status == 0, result.err
    assert "timing the kernels on" in result.out
    assert "tuned" in result.out
    assert "kernels tuned for" in result.out
    kept = load(path).choices
    assert {choice.operation for choice in kept.values()} >= {"conv2d_forward", "conv2d_weight_gradient"}
    (forward,) = [choice for choice in kept.values() if choice.operation == "conv2d_forward"]
    assert forward.variant == "fast"
    assert load(Path("runs/a/tuned.json")).choices == kept
    ran.clear()
    again = minigrad("train", *options(images, "--epochs", "1", "--name", "b", "--autotune"))
    assert "timing the kernels on 0 problems (the other " in again.out
    assert forward.problem in ran


def test_a_run_without_tuning_says_nothing_and_keeps_no_choices(minigrad: Run, images: Path) -> None:
    result = minigrad("train", *options(images, "--epochs", "1", "--name", "a"))
    assert result.status == 0, result.err
    assert "tuned" not in result.out
    assert not Path("runs/a/tuned.json").exists()


def test_a_resumed_run_goes_by_the_choices_it_was_begun_with(
    clock: Clock, path: Path, minigrad: Run, images: Path
) -> None:
    begin = options(images, "--epochs", "1", "--schedule", "constant")
    minigrad("train", *begin, "--name", "untuned")
    plant(clock, "fast", 0.25)
    minigrad("train", *begin, "--name", "tuned", "--autotune")
    kept = load(path).choices
    assert kept
    assert not [line for line in minigrad("train", "--resume", "untuned").out.splitlines() if "tuned for" in line]
    assert not tuned().choices
    use_tuned(None)
    minigrad("kernels", "--forget-tuned")
    assert "kernels tuned for" in minigrad("train", "--resume", "tuned", "--epochs", "2").out
    assert tuned().choices == kept


def test_untuned_runs_go_by_priorities(clock: Clock, minigrad: Run, images: Path) -> None:
    plant(clock, "fast", 0.25)
    minigrad("train", *options(images, "--epochs", "1", "--name", "a", "--autotune"))
    result = minigrad("train", *options(images, "--epochs", "1", "--name", "b", "--kernels", "untuned"))
    assert result.status == 0, result.err
    assert "tuned for" not in result.out
    assert not Path("runs/b/tuned.json").exists()


def test_commands_go_on_without_a_broken_file_and_say_so_in_a_line(
    path: Path, minigrad: Run, images: Path
) -> None:
    path.parent.mkdir()
    path.write_text("no JSON")
    result = minigrad("train", *options(images, "--epochs", "1"))
    assert result.status == 0, result.err
    (line,) = without_compilation(result.err)
    assert line.startswith(f"minigrad: the tuned kernels of {path} are ignored, as it is broken: ")
