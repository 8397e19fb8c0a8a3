"""Recorded work as a plan that is launched: the CPU's twin of a graph on a GPU (`cuda/graph.py`)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import numpy as np

from ..errors import KernelError
from .buffers import allocating_from
from .recording import Launch, Recording
from .tasks import address_of, launch_all


class Plan:
    """What was recorded, to be done again on the same memory.

    Raises:
        KernelError: if it cannot be repeated; says why.
    """

    def __init__(self, recording: Recording) -> None:
        if recording.trouble:
            raise KernelError(f"this cannot be recorded and repeated: {recording.trouble}")
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
        with allocating_from(None):  # what is free in the recording's pool was in use in the middle of it
            for step in self._steps:
                if isinstance(step, np.ndarray):
                    launch_all(step)
                else:
                    step()
