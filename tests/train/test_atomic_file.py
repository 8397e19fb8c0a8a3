"""A write that fails or is killed leaves the file that was there, whole."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from minigrad.kernels.errors import MinigradError
from minigrad.train.atomic_file import PARTIAL_SUFFIX, write_atomically


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def kept(path: Path) -> None:
    """The old file is whole and nothing lies beside it."""
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_new_contents_take_the_place_of_the_old(path: Path) -> None:
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_bytes)
        write_atomically(pipe, b"new")
        assert read.result() == b"new"
    assert pipe.is_fifo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_an_open_file_is_written_where_it_stands(tmp_path: Path, name: str) -> None:
    with (tmp_path / "open").open("wb", buffering=0) as file:
        file.write(b"before ")
        write_atomically(name.format(file.fileno()), b"new")
        file.write(b" after")
    assert (tmp_path / "open").read_bytes() == b"before new after"
    assert [entry.name for entry in tmp_path.iterdir()] == ["open"]


def test_a_partial_file_that_a_kill_left_behind_is_no_hindrance(path: Path) -> None:
    Path(f"{path}{PARTIAL_SUFFIX}").write_bytes(b"much longer than what comes now")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_the_bytes_are_on_the_disk_before_the_name_changes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor: int) -> None:
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def record_replace(source: Path, target: Path) -> None:
        assert Path(source).read_bytes() == b"new"
        events.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    write_atomically(path, b"new")
    assert events == ["file", "replace", "folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full, the disk that is always full")
def test_a_full_disk_is_told_in_one_line(path: Path) -> None:
    Path(f"{path}{PARTIAL_SUFFIX}").symlink_to("/dev/full")
    with pytest.raises(MinigradError) as caught:
        write_atomically(path, bytes(2_500_000))
    assert (
        str(caught.value)
        == f"cannot write {path}: the disk is full (2.5 MB are needed); the file that was there is kept"
    )
    kept(path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fills_late_leaves_the_old_file(
    path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(MinigradError, match="the disk is full"):
        write_atomically(path, b"new")
    kept(path)


def test_a_write_that_stops_half_way_leaves_the_old_file(path: Path) -> None:
    # In a process of its own: the limit on the size of files holds for a whole process.
    code = (
        "import resource, sys\n"
        "from minigrad.train.atomic_file import write_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))\n"
        "write_atomically(sys.argv[1], bytes(50000))\n"
    )
    child = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert child.returncode == 1
    assert f"cannot write {path}" in child.stderr.splitlines()[-1]
    kept(path)


def test_an_interrupt_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    kept(path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "file"
    with pytest.raises(MinigradError) as caught:
        write_atomically(path, b"new")
    assert str(caught.value) == f"cannot write {path}: No such file or directory"


WRITER = """
import sys
from minigrad.train.atomic_file import write_atomically

number = 0
while True:
    number += 1
    write_atomically(sys.argv[1], bytes([number % 256]) * 3_000_000)
    if number == 1:
        print("writing", flush=True)
"""


@pytest.mark.lengthy
def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    moments = random.Random(0)
    interrupted = 0
    for _ in range(10):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline() == b"writing\n"
        time.sleep(moments.uniform(0, 0.03))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        content = path.read_bytes()
        assert len(content) == 3_000_000
        assert content == content[:1] * 3_000_000
        interrupted += Path(f"{path}{PARTIAL_SUFFIX}").exists()
    # Without this the kills might all have fallen between two writes.
    assert interrupted > 0
