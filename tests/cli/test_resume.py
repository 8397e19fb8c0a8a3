"""minigrad train --resume: which run goes on, and with which options."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from claims.commands import Run, assert_fails
from claims.tiny import options
from minigrad.train.run_folder import RunFolder


@pytest.fixture
def finished(minigrad: Run, images: Path) -> Path:
    """A run of one epoch whose schedule does not depend on its length."""
    assert (
        minigrad("train", *options(images, "--epochs", "1", "--schedule", "constant", "--name", "a")).status == 0
    )
    return Path("runs/a")


def test_a_finished_run_reports_again_and_changes_nothing(minigrad: Run, finished: Path) -> None:
    before = {name: (finished / name).read_bytes() for name in ("metrics.jsonl", "resume.safetensors")}
    (finished / "curves.png").unlink()
    result = minigrad("train", "--resume", "a")
    assert result.status == 0, result.err
    assert "finished" in result.out
    assert (finished / "curves.png").exists()
    assert {name: (finished / name).read_bytes() for name in before} == before


def test_more_epochs_are_allowed_where_the_schedule_has_no_end(minigrad: Run, finished: Path) -> None:
    assert minigrad("train", "--resume", "a", "--epochs", "2").status == 0
    assert len((finished / "metrics.jsonl").read_text().splitlines()) == 2
    assert json.loads((finished / "config.json").read_text())["epochs"] == 2


def test_other_epochs_are_refused_where_the_schedule_depends_on_them(minigrad: Run, images: Path) -> None:
    minigrad("train", *options(images, "--epochs", "1", "--schedule", "one-cycle", "--name", "b"))
    assert_fails(minigrad("train", "--resume", "b", "--epochs", "2"), "--epochs 2 (the run has 1)", status=2)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--lr", "0.1"), ("--batch-size", "4"), ("--seed", "1"), ("--optimizer", "adam"), ("--model", "googlenet")],
)
def test_an_option_that_contradicts_the_run_is_named(
    minigrad: Run, finished: Path, option: str, value: str
) -> None:
    assert_fails(minigrad("train", "--resume", "a", option, value), f"{option} {value}", status=2)


def test_the_options_of_the_run_may_be_said_again(minigrad: Run, finished: Path, images: Path) -> None:
    given = options(images, "--epochs", "1", "--schedule", "constant", "--lr", "0.01")
    assert minigrad("train", *given, "--resume", "a").status == 0


def test_threads_may_change_and_the_loss_of_exactness_is_told(minigrad: Run, finished: Path) -> None:
    result = minigrad("train", "--resume", "a", "--epochs", "2", "--kernels", "conv2d=reference")
    assert result.status == 0, result.err
    assert "--kernels" in result.out
    assert "not bit for bit" in result.out


def test_without_a_name_the_newest_run_goes_on(minigrad: Run, images: Path, finished: Path) -> None:
    minigrad("train", *options(images, "--epochs", "1", "--name", "b"))
    os.utime("runs/b", (1, 1))
    assert "runs/a" in minigrad("train", "--resume").out
    os.utime("runs/a", (0, 0))
    assert "runs/b" in minigrad("train", "--resume").out


def test_a_run_can_be_named_by_its_path(minigrad: Run, finished: Path) -> None:
    assert minigrad("train", "--resume", finished.resolve()).status == 0


def test_a_run_killed_before_its_first_checkpoint_starts_anew(minigrad: Run, finished: Path) -> None:
    (finished / "resume.safetensors").unlink()
    assert "epoch 1/1" in minigrad("train", "--resume", "a").out
    assert len((finished / "metrics.jsonl").read_text().splitlines()) == 1


def test_a_run_that_does_not_exist_is_named_with_those_that_do(minigrad: Run, finished: Path) -> None:
    assert_fails(minigrad("train", "--resume", "c"), "runs/c", "a")
    assert_fails(minigrad("train", "--resume", "--out", "elsewhere"), "elsewhere")


def test_a_run_that_is_being_trained_is_left_alone(minigrad: Run, finished: Path) -> None:
    holder = RunFolder(finished)
    holder.lock()
    try:
        assert_fails(minigrad("train", "--resume", "a"), "another process", "runs/a")
    finally:
        holder.unlock()


def test_other_data_than_the_run_had_is_refused(minigrad: Run, finished: Path, images: Path) -> None:
    extra = images / "val" / "blue" / "extra.png"
    extra.write_bytes((images / "val" / "blue" / "0.png").read_bytes())
    try:
        assert_fails(minigrad("train", "--resume", "a"), "resume.safetensors", "test_images")
    finally:
        extra.unlink()
