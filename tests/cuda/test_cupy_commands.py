"""The command line on device="cuda", on the stand-in for CuPy: the GPU is found, used, and missed in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claims import fake_cupy
from claims.command_fixtures import *  # noqa: F403
from claims.commands import Run, assert_fails
from claims.tiny import options
from claims.variants import without_compiler


@pytest.fixture
def gpu() -> Iterator[Any]:
    with fake_cupy.installed() as cupy:
        yield cupy


@without_compiler
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.lengthy)])
def test_a_model_trains_is_evaluated_and_predicts(
    minigrad: Run, images: Path, tmp_path: Path, gpu: Any, precision: str
) -> None:
    out = ["--out", str(tmp_path), "--name", "a"]
    result = minigrad("train", *options(images), "--epochs", "1", "--precision", precision, *out)
    assert result.status == 0, result.err
    assert f"cuda ({fake_cupy.GPU}, 80 GiB)" in result.out
    picture = next((images / "val" / "blue").glob("*.png"))
    for command in (["eval", tmp_path / "a", "--data", images], ["predict", tmp_path / "a", picture]):
        answered = minigrad(*command, "--device", "auto")
        assert answered.status == 0, answered.err
        assert f"; cuda ({fake_cupy.GPU}, 80 GiB), " in answered.out


@without_compiler
def test_a_model_trains_in_the_emulator(minigrad: Run, images: Path, tmp_path: Path) -> None:
    result = minigrad("train", *options(images), "--epochs", "1", "--device", "emulated", "--out", tmp_path)
    assert result.status == 0, result.err


@without_compiler
def test_too_little_memory_names_the_batch_size_and_keeps_what_was_saved(
    minigrad: Run, images: Path, tmp_path: Path, gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ["train", *options(images), "--epochs", "3", "--out", str(tmp_path), "--name", "a"]
    from minigrad.train.loop import Training

    finish, asked = Training._finish_epoch, fake_cupy._Module.empty

    def finish_then_run_out(training: Training) -> Any:
        evaluation = finish(training)

        def empty(*arguments: Any, **more: Any) -> Any:
            raise gpu.cuda.memory.OutOfMemoryError("Out of memory allocating 1,024 bytes")

        monkeypatch.setattr(fake_cupy._Module, "empty", empty)
        return evaluation

    monkeypatch.setattr(Training, "_finish_epoch", finish_then_run_out)
    assert_fails(minigrad(*train), "out of memory", "1,024 bytes", "--batch-size")
    monkeypatch.setattr(Training, "_finish_epoch", finish)
    monkeypatch.setattr(fake_cupy._Module, "empty", asked)
    resumed = minigrad("train", "--resume", "a", "--out", tmp_path)
    assert resumed.status == 0 and "epoch 2/3" in resumed.out and "epoch 1/3" not in resumed.out, resumed.err


def test_without_cupy_one_line_says_what_to_install(
    minigrad: Run, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # what cannot be imported
    for command in (
        ["train", *options(images), "--out", tmp_path],
        ["eval", tmp_path],
        ["predict", tmp_path, "x.png"],
    ):
        assert_fails(minigrad(*command, "--device", "cuda"), "device 'cuda': CuPy is missing", "minigrad[cuda12]")


def test_without_a_driver_one_line_says_so(
    minigrad: Run, images: Path, tmp_path: Path, gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count() -> int:
        raise gpu.cuda.runtime.CUDARuntimeError("cudaErrorInsufficientDriver: the driver is too old")

    monkeypatch.setattr(gpu.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu.cuda.runtime, "getDeviceCount", count)
    train = ["train", *options(images), "--epochs", "1", "--out", tmp_path]
    assert_fails(minigrad(*train, "--device", "cuda"), "no NVIDIA driver and GPU answer", "the driver is too old")
    assert "cpu, " in minigrad(*train, "--device", "auto").out
