"""Compiling many kernels at once: work says what it would launch, and several processes compile that.

    with collecting() as needed:  # nothing is launched, and results hold no numbers
        train_one_step()
    compile_ahead(needed)  # from now on they are on disk, for whichever process launches them

Numba compiles in one thread at a time, so each core gets a process of its own. Which kernels are on disk is
written down beside them: asking Numba would mean loading each.
"""

from __future__ import annotations

import base64
import functools
import importlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

import llvmlite.binding
import numpy as np

from . import cache, crew, processor
from .tasks import TaskKernel, collecting

__all__ = ["collecting", "compile_ahead"]

WRITTEN_DOWN = "compiled.txt"
# A process takes a second to start; so few kernels are compiled sooner where they are launched.
TOO_FEW = 4
LAUNCHERS = "launchers"  # what every kernel is launched by
DONE, FAILED = "done\n", "failed\n"  # what a process says after a job


def _example(argument: Any) -> Any:
    """The smallest argument of the same type."""
    if isinstance(argument, np.ndarray):
        return np.empty((0,) * argument.ndim, argument.dtype)
    if isinstance(argument, tuple):
        return (0,) * len(argument)
    return type(argument)(0)


@functools.cache
def _processor() -> str:
    """What code is compiled for: several machines may share a folder."""
    return llvmlite.binding.get_host_cpu_name() if processor.NAME == processor.NATIVE else processor.NAME


class Job:
    """A kernel to be compiled for arguments of certain types; a `name` that other processes can import."""

    def __init__(self, name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.name = name
        self.arguments = arguments

    @property
    def line(self) -> str:
        """The job as one line of text, the same for the same kernel and types."""
        return base64.b64encode(pickle.dumps((_processor(), self.name, self.arguments))).decode()

    @staticmethod
    def of_line(line: str) -> Job:
        return Job(*pickle.loads(base64.b64decode(line))[1:])

    def do(self) -> None:
        if self.name == LAUNCHERS:
            crew.compile_launchers()
        else:
            module, _, name = self.name.partition(":")
            kernel: TaskKernel = getattr(importlib.import_module(module), name)
            kernel.compile(self.arguments)


def missing(needed: Iterable[tuple[TaskKernel, tuple[Any, ...]]]) -> list[Job]:
    """The jobs that make the `needed` kernels, without those that were done before."""
    jobs = [Job(LAUNCHERS)]
    for kernel, arguments in needed:
        module, name = kernel.function.__module__, kernel.function.__qualname__
        if getattr(sys.modules.get(module), name, None) is kernel:  # a local one, no other process finds
            jobs.append(Job(f"{module}:{name}", tuple(map(_example, arguments))))
    try:
        done = set((cache.folder() / WRITTEN_DOWN).read_text().splitlines())
    except OSError:
        done = set()
    left = {job.line: job for job in jobs if job.line not in done}
    return list(left.values()) if len(left) >= TOO_FEW else []


def compile_ahead(
    needed: Iterable[tuple[TaskKernel, tuple[Any, ...]]],
    report: Callable[[int, str], None] = lambda done, name: None,
    expect: Callable[[int], None] = lambda kernels: None,
) -> int:
    """Compile on all cores those of the `needed` kernels that are missing; gives how many they were.

    Of several programs that need the same, one compiles and the others wait for it.

    Args:
        report: called with the number of kernels compiled so far, and the name of the next one.
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
    # A folder that only this process knows must be theirs, too.
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache.home())}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=environment,
        )
        for _ in range(min(os.cpu_count() or 1, len(jobs)))
    ]  # fmt: skip
    for process in processes:
        threading.Thread(target=_serve, args=(process, waiting, finished), daemon=True).start()
    done: list[Job] = []
    running = len(processes)
    if jobs:
        report(0, jobs[0].name.rpartition(":")[2])
    try:
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
        pass  # another run compiles once more, or rather finds all compiled


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
