"""Recorded work as a plan that is launched: the CPU's twin of graphs on a GPU (`cuda/graph.py`)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import groupby
from typing import TypeVar

import numpy as np

from ..errors import KernelError
from .buffers import PrivatePool, allocating_from
from .crew import launch_all
from .jit import get_num_threads
from .recording import Launch, Recording
from .tasks import address_of

Result = TypeVar("Result")


class Plan:
    """What was recorded, to be done again on the same memory.

    Raises:
        KernelError: if it cannot be repeated; says why.
    """

    def __init__(self, recording: Recording) -> None:
        if recording.trouble:
            raise KernelError(f"this cannot be captured, to be done again by itself: {recording.trouble}")
        self._recording = recording  # keeps all memory alive
        self._steps: list[np.ndarray | Callable[[], object]] = []
        for launched, steps in groupby(recording.steps, key=lambda step: isinstance(step, Launch)):
            if launched:
                rows = [(step.entry, step.tasks, address_of(step.table)) for step in steps]  # type: ignore[union-attr]
                self._steps.append(np.array(rows, np.int64))
            else:
                self._steps += steps  # type: ignore[arg-type]

    @property
    def launches(self) -> int:
        """How many kernels it launches."""
        return sum(len(step) for step in self._steps if isinstance(step, np.ndarray))

    @property
    def calls(self) -> int:
        """How many calls of Python stand between them."""
        return sum(not isinstance(step, np.ndarray) for step in self._steps)

    def launch(self) -> None:
        """Do all of it."""
        threads = get_num_threads()
        with allocating_from(None):  # what is free in the recording's pool was in use in the middle of it
            for step in self._steps:
                if isinstance(step, np.ndarray):
                    launch_all(threads, step)
                else:
                    step()


class PlanStream:
    """`cuda.graph.GraphStream` for a CPU, where everything happens at once: plans that share their memory.

    None of them may be launched inside another, and what one of them computed for itself is gone once another one
    has been launched.
    """

    xp = np

    def __init__(self) -> None:
        self.pool = PrivatePool()

    def __enter__(self) -> PlanStream:
        return self

    def __exit__(self, *error: object) -> None: ...

    def own_memory(self) -> AbstractContextManager[None]:
        """Inside this `with` block memory comes from the stream's own pool."""
        return allocating_from(self.pool)

    def synchronize(self) -> None: ...

    def capture_and_launch(self, work: Callable[[], Result]) -> tuple[Plan, Result]:
        """Do `work`; gives the plan by which it is done again, and what it gave.

        Raises:
            KernelError: if it cannot be repeated; it has been done nevertheless.
        """
        with self.own_memory(), Recording(self.pool) as recording:
            result = work()
        return Plan(recording), result
