"""Kernels that several processes compile ahead, and that the program which launches them finds on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigrad.kernels.cpu import cache, compile_ahead
from minigrad.kernels.cpu.compile_ahead import Job, compile_all, missing
from minigrad.kernels.cpu.tasks import collecting, task_kernel

KERNELS = """
from minigrad.kernels.cpu.tasks import task_kernel
@task_kernel
def double(task, tasks, x, y):
    y[task] = 2 * x[task]
@task_kernel
def triple(task, tasks, x, y, times):
    y[task] = 3 * x[task] * times[0]
"""
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
import kernels_of_this_test as kernels
from minigrad.kernels.cpu.compile_ahead import collecting, compile_ahead

def work():
    results = []
    for dtype in (np.float32, np.float64):
        x = np.arange(3, dtype=dtype)
        y, z = np.zeros_like(x), np.zeros_like(x)
        kernels.double(3, x, y)
        kernels.triple(3, x, z, (2,))
        results += [*y.tolist(), *z.tolist()]
    return results

with collecting() as needed:
    print(work())
heard = []
print(compile_ahead(needed, lambda done, name: heard.append(done), heard.append), heard)
folder = Path(sys.argv[1])
before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nb?")}
print(work())
print(before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.nb?")} and len(before) > 0)
"""


def test_what_was_compiled_ahead_is_launched_from_the_disk(tmp_path: Path) -> None:
    (tmp_path / "kernels_of_this_test.py").write_text(KERNELS)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    outputs = []
    for _ in range(2):
        environment = {
            **os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)
        }  # fmt: skip
        finished = subprocess.run(
            [sys.executable, str(program), str(tmp_path / "cache")],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stderr
        outputs.append(finished.stdout.splitlines())
    nothing = str([0.0] * 12)
    right = str([0.0, 2.0, 4.0, 0.0, 6.0, 12.0] * 2)
    assert outputs[0] == [
        nothing,
        "5 [5, 0, 1, 2, 3, 4, 5]",
        right,
        "True",
    ]  # two kernels, two types; the launchers
    assert outputs[1] == [nothing, "0 []", right, "True"]


def test_a_kernel_that_no_other_process_can_import_is_left_to_its_first_launch() -> None:
    @task_kernel
    def local(task, tasks, x):  # type: ignore[no-untyped-def]
        x[task] = 1

    with collecting() as needed:
        local(1, np.zeros(1))
    assert len(needed) == 1
    assert all("local" not in job.name for job in missing(needed))


def test_one_process_at_a_time_adds_to_an_index_of_numbas(tmp_path: Path) -> None:
    @task_kernel
    def local(task, tasks, x):  # type: ignore[no-untyped-def]
        x[task] = 1

    entry = local.compile((np.zeros(1),))
    for compiled in (entry, local._kernel):
        assert isinstance(compiled._cache._cache_file, cache._LockedIndex)


def test_a_job_that_fails_keeps_no_other_from_being_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(cache, "home", lambda: tmp_path)
    bad = [Job(f"no.such.module:kernel_{number}") for number in range(3)]
    assert compile_all([*bad, Job(compile_ahead.LAUNCHERS)]) == 1
    assert (tmp_path / compile_ahead.WRITTEN_DOWN).read_text() == Job(compile_ahead.LAUNCHERS).line + "\n"


def test_few_missing_kernels_are_not_worth_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    assert missing([]) == []


def test_code_for_another_processor_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Job("module:kernel").line
    monkeypatch.setattr(compile_ahead, "_target", lambda: "another")
    assert Job("module:kernel").line != here
