"""A full disk, Ctrl-C, a kill: the checkpoint before stays whole, and the run goes on as if nothing had been."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from claims import tiny
from claims.commands import Run, assert_fails, without_compilation
from claims.runs import assert_same_state, metrics_without_times
from claims.tiny import options
from minigrad.train.checkpoint import read_resume, read_weights

PROGRAM = [sys.executable, tiny.__file__]
NEEDS_RLIMIT = pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")


def assert_same_run(first: Path, second: Path) -> None:
    """Two runs have the same metrics, times aside, and the same bits in every checkpoint."""
    assert metrics_without_times(first) == metrics_without_times(second)
    assert_same_state(read_resume(first / "resume.safetensors"), read_resume(second / "resume.safetensors"))
    for name in ("last.safetensors", "best.safetensors"):
        assert_same_state(read_weights(first / name)[0], read_weights(second / name)[0])


@pytest.fixture
def whole(minigrad: Run, images: Path) -> Path:
    """An uninterrupted run of four epochs."""
    assert minigrad("train", *options(images, "--epochs", "4", "--name", "whole")).status == 0
    return Path("runs/whole").resolve()


@pytest.mark.parametrize("file", ["metrics.jsonl", "last", "best", "resume"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_full_disk_at_any_file(
    minigrad: Run, images: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, file: str, epoch: int
) -> None:
    """The disk refuses the writing of one file in one epoch; with room again, the run ends as if it never had."""
    fsync, written = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal written
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        if f"runs/a/{file}" in target:
            written += 1
            if written >= epoch:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    # Every epoch is better than the one before or equal: the best weights are not written in each.
    epoch = 1 if file == "best" else epoch
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = minigrad("train", *options(images, "--epochs", "4", "--name", "a"))
    assert_fails(result, f"runs/a/{file}", "disk is full")
    assert not list(Path("runs/a").glob("*.partial"))
    kept = Path("runs/a/resume.safetensors")
    assert (read_resume(kept)["epoch"] if kept.exists() else 0) == epoch - 1
    assert minigrad("train", "--resume", "a").status == 0
    assert_same_run(Path("runs/a"), whole)


@NEEDS_RLIMIT
def test_a_file_that_may_not_grow(minigrad: Run, images: Path, whole: Path) -> None:
    """The operating system itself cuts a checkpoint short in the middle."""
    import resource

    size = (whole / "resume.safetensors").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))
    try:
        result = minigrad("train", *options(images, "--epochs", "4", "--name", "a"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_fails(result, "runs/a/", "File too large")
    assert minigrad("train", "--resume", "a").status == 0
    assert_same_run(Path("runs/a"), whole)


def start(*arguments: str) -> subprocess.Popen[str]:
    """The command line with TinyNet, in a process of its own, with one thread as this process has."""
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "MINIGRAD_NUM_THREADS": "1"},
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], file: Path) -> None:
    """Until `file` exists, which `process` writes."""
    while not file.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)


def test_killed_while_training_and_writing(minigrad: Run, images: Path, tmp_path: Path) -> None:
    """SIGKILL at moments that nobody chose; a checkpoint each step, so that many fall into its writing."""
    given = options(images, "--epochs", "40", "--checkpoint-every", "1")
    assert minigrad("train", *given, "--name", "whole").status == 0
    moments, resume = random.Random(0), tmp_path / "runs/a/resume.safetensors"
    process = start("train", *given, "--name", "a")
    wait_for(process, resume)
    for _ in range(3):
        time.sleep(moments.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        read_resume(resume)  # whole, or this raises
        position = resume.stat().st_mtime_ns
        process = start("train", "--resume", "a")
        while process.poll() is None and resume.stat().st_mtime_ns == position:
            time.sleep(0.005)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "test accuracy" in out
    assert_same_run(tmp_path / "runs/a", tmp_path / "runs/whole")


@pytest.mark.parametrize(("workers", "epochs"), [("0", "30"), pytest.param("1", "3", marks=pytest.mark.lengthy)])
def test_ctrl_c_saves_and_says_how_to_go_on(
    minigrad: Run, images: Path, tmp_path: Path, workers: str, epochs: str
) -> None:
    given = options(images, "--epochs", epochs, "--workers", workers)
    assert minigrad("train", *given, "--name", "whole").status == 0
    process = start("train", *given, "--name", "a")
    wait_for(process, tmp_path / "runs/a/resume.safetensors")
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the workers, too
    _, err = process.communicate()
    assert process.returncode == 130
    (line,) = without_compilation(err)
    assert line.startswith("minigrad: interrupted in epoch ")
    assert line.endswith("go on with minigrad train --resume runs/a")
    assert minigrad("train", "--resume", "runs/a").status == 0
    assert_same_run(tmp_path / "runs/a", tmp_path / "runs/whole")


def test_a_loss_that_is_not_finite_ends_in_one_line(minigrad: Run, images: Path) -> None:
    """A learning rate beyond reason: the weights overflow, and the first operation to show it is named."""
    result = minigrad("train", *options(images, "--epochs", "4", "--lr", "1e30", "--name", "a"))
    assert_fails(result, "not finite", "there was no checkpoint yet")
    assert "in stem.0 (Conv2d)" in result.err or "in fc (Linear)" in result.err or "in aux (Linear)" in result.err
