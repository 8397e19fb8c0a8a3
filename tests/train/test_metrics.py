"""metrics.jsonl is only appended to, survives a kill, and goes on where a resumed run goes on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.kernels.errors import MinigradError
from minigrad.train.metrics import append_metrics, cut_metrics, read_metrics

RECORDS = [{"epoch": epoch, "train_loss": 1 / epoch, "test_accuracy": 0.1 * epoch} for epoch in range(1, 6)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.jsonl"
    for record in RECORDS:
        append_metrics(path, record)
    return path


def test_what_was_appended_is_read_in_order(path: Path) -> None:
    assert read_metrics(path) == RECORDS


def test_no_file_means_no_records(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "gone") == []
    assert cut_metrics(tmp_path / "gone", 3) == []
    assert not list(tmp_path.iterdir())


@given(cut=st.integers(0, 10**6))
def test_a_file_cut_anywhere_gives_its_whole_lines(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    for record in RECORDS:
        append_metrics(path, record)
    content = path.read_bytes()
    path.write_bytes(content[: cut % (len(content) + 1)])
    whole = path.read_bytes().count(b"\n")
    assert read_metrics(path) == RECORDS[:whole]
    assert cut_metrics(path, 5) == RECORDS[:whole]
    append_metrics(path, RECORDS[-1])
    assert read_metrics(path) == [*RECORDS[:whole], RECORDS[-1]]


@pytest.mark.parametrize("last_epoch", [0, 1, 4, 5, 9])
def test_epochs_after_the_resumed_one_are_cut(path: Path, last_epoch: int) -> None:
    assert cut_metrics(path, last_epoch) == RECORDS[:last_epoch]
    assert read_metrics(path) == RECORDS[:last_epoch]


def test_a_file_with_nothing_to_cut_is_not_touched(path: Path) -> None:
    before = path.stat()
    cut_metrics(path, 5)
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("line", [b"{broken", b"[1, 2]", b"{}", b'{"epoch": "1"}', b"\xff\xfe", b""])
def test_a_damaged_line_in_the_middle_is_named(path: Path, line: bytes) -> None:
    lines = path.read_bytes().split(b"\n")
    lines[2] = line
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(MinigradError, match=r"line 3 of .*metrics\.jsonl"):
        read_metrics(path)


def test_a_number_that_is_not_finite_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_metrics(path, {"epoch": 6, "train_loss": float("nan")})
    assert read_metrics(path) == RECORDS


def test_a_full_disk_leaves_the_lines_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(MinigradError, match=r"metrics\.jsonl: the disk is full"):
        append_metrics(path, {"epoch": 6})
    assert read_metrics(path) == RECORDS


def test_a_line_that_fits_only_half_leaves_the_lines_before(path: Path) -> None:
    size = path.stat().st_size
    # In a process of its own: the limit on the size of files holds for a whole process.
    code = (
        "import resource, sys\n"
        "from minigrad.train.metrics import append_metrics\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size + 5}, {size + 5}))\n"
        "append_metrics(sys.argv[1], {'epoch': 6})\n"
    )
    child = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert child.returncode == 1
    assert "cannot write" in child.stderr.splitlines()[-1]
    assert path.stat().st_size == size
    assert read_metrics(path) == RECORDS


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MinigradError, match="nowhere"):
        append_metrics(tmp_path / "nowhere" / "metrics.jsonl", {"epoch": 1})
