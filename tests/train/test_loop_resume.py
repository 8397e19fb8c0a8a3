"""A run that was stopped and resumed equals, bit for bit, one that was not: weights, state and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import minigrad as mg
from claims.runs import (
    assert_same_state,
    configuration,
    interrupt,
    make_training,
    metrics_without_times,
)
from claims.tiny import write_images
from minigrad.kernels.errors import MinigradError
from minigrad.train.checkpoint import read_resume, read_weights


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


def assert_resumed_run_is_the_same(
    images: Path, folder: Path, stops: list[dict[str, int]], **options: Any
) -> None:
    """Stopping at each of `stops`, every time in a new object with other random numbers, changes nothing."""
    config = configuration(images, **options)
    whole = make_training(config, folder / "whole")
    whole.run()
    interrupt(make_training(config, folder / "parts"), **stops[0])
    for stop in [*stops[1:], None]:
        part = make_training(config, folder / "parts", model=other_weights)
        mg.manual_seed(99)
        part.resume()
        if stop is None:
            part.run()
        else:
            interrupt(part, **stop)
    assert metrics_without_times(folder / "parts") == metrics_without_times(folder / "whole")
    assert len(metrics_without_times(folder / "whole")) == config.epochs
    assert_same_state(
        read_resume(folder / "parts/resume.safetensors"), read_resume(folder / "whole/resume.safetensors")
    )
    for name in ("last.safetensors", "best.safetensors"):
        assert_same_state(read_weights(folder / "parts" / name)[0], read_weights(folder / "whole" / name)[0])


def other_weights(num_classes: int) -> Any:
    from claims.tiny import TinyNet

    mg.manual_seed(7)
    return TinyNet(num_classes)


@pytest.mark.parametrize("batches", range(1, 7))
def test_stopped_after_any_batch(images: Path, tmp_path: Path, batches: int) -> None:
    assert_resumed_run_is_the_same(images, tmp_path, [{"batches": batches}])


@pytest.mark.parametrize("epochs", [1, 2])
def test_stopped_while_testing(images: Path, tmp_path: Path, epochs: int) -> None:
    assert_resumed_run_is_the_same(images, tmp_path, [{"epochs": epochs}])


def test_stopped_again_and_again(images: Path, tmp_path: Path) -> None:
    assert_resumed_run_is_the_same(images, tmp_path, [{"batches": 1}] * 5)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam", "schedule": "cosine"},
        {"optimizer": "adamw", "schedule": "polynomial", "warmup_epochs": 0.7},
        {"optimizer": "rmsprop", "momentum": 0.5, "schedule": "step", "decay_every": 1},
        {"average": "ema", "clip_norm": 0.5, "label_smoothing": 0.1},
        {"average": "polyak", "weight_decay": 1e-3, "schedule": "constant"},
        pytest.param({"workers": 1}, marks=pytest.mark.lengthy),
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_stopped_with_any_recipe(images: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    assert_resumed_run_is_the_same(images, tmp_path, [{"batches": 2}, {"batches": 3}], **options)


def test_a_checkpoint_every_step_is_one_to_continue_from(images: Path, tmp_path: Path) -> None:
    """As a kill leaves it: the file of some step, and a metrics file that may be ahead of it."""
    config = configuration(images, checkpoint_every=1)
    training = make_training(config, tmp_path / "run")
    copies: list[bytes] = []
    save = training.save

    def saving() -> None:
        save()
        copies.append(training.folder.resume.read_bytes())

    training.save = saving  # type: ignore[method-assign]
    training.run()
    assert len(copies) == 6  # after 1, 2 and, with the evaluation, 3 batches, twice
    final, metrics = read_resume(training.folder.resume), metrics_without_times(tmp_path / "run")
    for copy in copies:
        training.folder.resume.write_bytes(copy)
        again = make_training(config, tmp_path / "run", model=other_weights)
        again.resume()
        again.run()
        assert_same_state({**read_resume(again.folder.resume), "tally": None}, {**final, "tally": None})
        assert metrics_without_times(tmp_path / "run") == metrics


def test_the_message_of_an_interruption_says_where_and_how_to_go_on(images: Path, tmp_path: Path) -> None:
    message = interrupt(make_training(configuration(images), tmp_path / "run"), batches=2)
    assert "epoch 1 after 2 of 3 batches" in message
    assert f"minigrad train --resume {tmp_path / 'run'}" in message


def test_a_state_of_other_options_is_refused_by_name(images: Path, tmp_path: Path) -> None:
    interrupt(make_training(configuration(images), tmp_path / "run"), batches=2)
    with pytest.raises(MinigradError, match=r"options/lr is 0\.01, not 0\.1"):
        make_training(configuration(images, lr=0.1), tmp_path / "run").resume()
