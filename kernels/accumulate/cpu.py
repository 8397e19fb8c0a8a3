"""Sums of large arrays on all threads, into memory that has been used before.

- `reference` adds on one thread, into memory that the operating system maps anew;
- `rows` shares the pixels of channels-last activations, and the elements of other contiguous arrays, among the
  threads. Arrays that lie in different orders are left to the library.
"""

from __future__ import annotations

import numpy as np

from ..arrays import is_channels_last
from ..cpu.buffers import empty, empty_channels_last, pixel_rows
from ..cpu.floats import refuses_other_than_floats
from ..cpu.recording import again
from ..cpu.rows import row, span, view
from ..cpu.tasks import task_kernel, tasks_for
from . import add, add_to
from .problem import AccumulateProblem
from .reference import add_reference, add_to_reference


@task_kernel
def _add_rows(task, tasks, a, a_distance, b, b_distance, pixels, channels, y, y_distance):  # type: ignore[no-untyped-def]
    for pixel in range(*span(task, tasks, pixels)):
        a_row, b_row = row(a, pixel, a_distance, channels), row(b, pixel, b_distance, channels)
        y_row = row(y, pixel, y_distance, channels)
        for c in range(channels):
            y_row[c] = a_row[c] + b_row[c]


@task_kernel
def _add_elements(task, tasks, a, b, y):  # type: ignore[no-untyped-def]
    first, last = span(task, tasks, a.size)
    a_part, b_part, y_part = (
        view(a, first, last - first),
        view(b, first, last - first),
        view(y, first, last - first),
    )
    for i in range(last - first):
        y_part[i] = a_part[i] + b_part[i]


def _added(a: np.ndarray, b: np.ndarray, y: np.ndarray | None) -> np.ndarray | None:
    """a + b in `y` (memory of our own if None); None where the arrays lie in no order that is shared out here."""
    tasks = tasks_for(a.size)
    if a.flags.c_contiguous and b.flags.c_contiguous:
        y = empty(a.shape, a.dtype) if y is None else y
        _add_elements(tasks, a.reshape(-1), b.reshape(-1), y.reshape(-1))
        return y
    if a.ndim == 4 and is_channels_last(a) and is_channels_last(b):
        n, c, h, w = a.shape
        y = empty_channels_last((n, c, h, w), a.dtype) if y is None else y
        _add_rows(tasks, *pixel_rows(a), *pixel_rows(b), n * h * w, c, *pixel_rows(y))
        return y
    return None


@add.variant("rows", device="cpu", only_launches=True, priority=10, refuses=refuses_other_than_floats)
def add_rows(problem: AccumulateProblem, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    y = _added(a, b, None)
    return again(lambda: add_reference(problem, a, b)) if y is None else y


@add_to.variant("rows", device="cpu", only_launches=True, priority=10, refuses=refuses_other_than_floats)
def add_to_rows(problem: AccumulateProblem, a: np.ndarray, b: np.ndarray) -> None:
    if _added(a, b, a) is None:
        again(lambda: add_to_reference(problem, a, b))
