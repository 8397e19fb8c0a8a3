"""Compiling many kernels at once: work says what it would launch, and several processes compile that.

    with collecting() as needed:  # nothing is launched, and results hold no numbers
        train_one_step()
    compile_ahead(needed)  # from now on they are on disk, for every process

Numba compiles in one thread at a time, so there are several processes. Which kernels are on disk is written down
beside them, a line each: Numba can tell only by loading the kernel.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import llvmlite.binding
import numpy as np

from . import cache, crew, processor
from .jit import get_num_threads
from .tasks import TaskKernel, collecting

__all__ = ["collecting", "compile_ahead"]

WRITTEN_DOWN = "compiled.txt"
FEWEST = 4  # starting a process takes a second: fewer kernels compile sooner in this one
LAUNCHERS = "launchers"  # what every kernel is launched by
DONE, FAILED = "done\n", "failed\n"  # what a process says after a job


def _described(argument: Any) -> str:
    """An argument's type in a word: "float32:4" (an array with 4 axes), "tuple:2", "int", "float64"."""
    if isinstance(argument, np.ndarray):
        return f"{argument.dtype.name}:{argument.ndim}"
    return f"tuple:{len(argument)}" if isinstance(argument, tuple) else type(argument).__name__


def _example(word: str) -> Any:
    """The smallest argument of a type."""
    kind, _, count = word.partition(":")
    if kind == "tuple":
        return (0,) * int(count)
    if count:
        return np.empty((0,) * int(count), kind)
    builtin = {"int": 0, "float": 0.0}
    return builtin[kind] if kind in builtin else np.dtype(kind).type(0)


@functools.cache
def _target() -> str:
    """What code is compiled for: several machines may share a folder."""
    features = hashlib.sha256(" ".join(sorted(processor.FEATURES)).encode()).hexdigest()[:8]
    name = llvmlite.binding.get_host_cpu_name() if processor.NAME == processor.NATIVE else processor.NAME
    return f"{name}-{features}"


@dataclass(frozen=True)
class Job:
    """A kernel to be compiled: "module:name", and its arguments' types as `_described` has them."""

    name: str
    types: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The job as a line of text."""
        return " ".join((_target(), self.name, *self.types))

    @staticmethod
    def of_line(line: str) -> Job:
        _, name, *types = line.split()
        return Job(name, tuple(types))

    def do(self) -> None:
        if self.name == LAUNCHERS:
            crew.compile_launchers()
        else:
            module, _, name = self.name.partition(":")
            kernel: TaskKernel = getattr(importlib.import_module(module), name)
            kernel.compile(tuple(map(_example, self.types)))


def missing(needed: Iterable[tuple[TaskKernel, tuple[Any, ...]]]) -> list[Job]:
    """The jobs that make the `needed` kernels, without those that were done before."""
    jobs = [Job(LAUNCHERS)]
    for kernel, arguments in needed:
        module, name = kernel.function.__module__, kernel.function.__qualname__
        if getattr(sys.modules.get(module), name, None) is kernel:  # other processes cannot import a local one
            jobs.append(Job(f"{module}:{name}", tuple(map(_described, arguments))))
    try:
        done = set((cache.folder() / WRITTEN_DOWN).read_text().splitlines())
    except OSError:
        done = set()
    left = {job.line: job for job in jobs if job.line not in done}
    return list(left.values()) if len(left) >= FEWEST else []


def compile_ahead(
    needed: Iterable[tuple[TaskKernel, tuple[Any, ...]]],
    report: Callable[[int, str], None] = lambda done, name: None,
    expect: Callable[[int], None] = lambda kernels: None,
) -> int:
    """Compile on all cores those of the `needed` kernels that are missing; gives how many they were.

    Of several programs that need the same, one compiles and the others wait for it.

    Args:
        report: called with the number of kernels compiled so far, and the name of the last one.
        expect: called first with how many are missing, if any are.
    """
    if not missing(needed):
        return 0
    with cache.alone(cache.folder() / WRITTEN_DOWN):
        jobs = missing(needed)
        if jobs:
            expect(len(jobs))
        return compile_all(jobs, report)


def compile_all(jobs: list[Job], report: Callable[[int, str], None] = lambda done, name: None) -> int:
    """Do the jobs on all cores; gives how many were done. What a process fails at is left to the first launch."""
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    finished: queue.SimpleQueue[Job | None] = queue.SimpleQueue()  # None: a process has ended
    for job in jobs:
        waiting.put(job)
    processes: list[subprocess.Popen[str]] = []
    done: list[Job] = []
    try:
        for _ in range(min(get_num_threads(), len(jobs))):
            with suppress(OSError):  # those that could be started do all
                processes.append(_started())
        for process in processes:
            threading.Thread(target=_serve, args=(process, waiting, finished), daemon=True).start()
        running = len(processes)
        report(0, "")
        while running:
            ended = finished.get()
            if ended is None:
                running -= 1
            else:
                done.append(ended)
                report(len(done), ended.name.rpartition(":")[2])
    finally:
        for process in processes:
            process.kill()
            process.wait()
        _write_down(done)
    return len(done)


def _started() -> subprocess.Popen[str]:
    """A process that works off jobs and keeps what it compiles where this one does."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],  # -P: a user's queue.py in this folder is none of ours
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache.folder().parent)},
    )


def _serve(process: subprocess.Popen[str], waiting: queue.SimpleQueue[Job], finished: Any) -> None:
    """Give a process one job after the other, until there are none or it ends."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        while True:
            job = waiting.get_nowait()
            print(job.line, file=process.stdin, flush=True)
            answer = process.stdout.readline()
            if answer == DONE:
                finished.put(job)
            elif answer != FAILED:
                break  # the process has ended
    except (queue.Empty, OSError, ValueError):  # no more jobs; the process has been killed
        pass
    finally:
        finished.put(None)


def _write_down(jobs: Iterable[Job]) -> None:
    lines = "".join(f"{job.line}\n" for job in jobs)
    try:
        with (cache.folder() / WRITTEN_DOWN).open("a") as file:
            file.write(lines)
    except OSError:
        pass  # the next run does these jobs again, and Numba loads them from disk


def _work() -> None:
    """Do the jobs that standard input lists, one a line, and say of each whether it is done."""
    for line in sys.stdin:
        try:
            Job.of_line(line.strip()).do()
        except Exception:
            print(FAILED, end="", flush=True)
        else:
            print(DONE, end="", flush=True)


if __name__ == "__main__":
    _work()
