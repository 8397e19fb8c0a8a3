"""Concatenation along the channels of channels-last activations.

- `reference` lets NumPy choose the order of the result in memory, and copies on one thread;
- `channels_last` recognises adjacent slices of one buffer and copies nothing; else every thread copies
  rows of channels into place;
- `elements` joins along the first axis: every thread copies a range of the elements.
"""

from __future__ import annotations

import numpy as np

from ..cpu.buffers import channels_last, contiguous, empty, empty_channels_last, pixel_rows
from ..cpu.floats import refuses_other_than_floats
from ..cpu.rows import row, span, view
from ..cpu.tasks import task_kernel, tasks_for
from . import forward
from .adjacent import common_view
from .problem import ConcatProblem


@task_kernel
def _copy_rows(task, tasks, x, x_distance, pixels, channels, y, y_distance):  # type: ignore[no-untyped-def]
    for pixel in range(*span(task, tasks, pixels)):
        x_row, y_row = row(x, pixel, x_distance, channels), row(y, pixel, y_distance, channels)
        for c in range(channels):
            y_row[c] = x_row[c]


@task_kernel
def _copy_elements(task, tasks, x, y):  # type: ignore[no-untyped-def]
    first, last = span(task, tasks, x.size)
    source, target = view(x, first, last - first), view(y, first, last - first)
    for i in range(last - first):
        target[i] = source[i]


def refuses(problem: ConcatProblem) -> str | None:
    if len(problem.output_shape) != 4 or problem.axis != 1:
        return "it joins (N, C, H, W) arrays along axis 1"
    return refuses_other_than_floats(problem)


@forward.variant("channels_last", device="cpu", only_launches=True, priority=10, refuses=refuses)
def forward_channels_last(problem: ConcatProblem, arrays: tuple[np.ndarray, ...]) -> np.ndarray:
    view = common_view(problem, arrays)
    if view is not None:
        return view
    n, _, h, w = problem.output_shape
    result = empty_channels_last((n, problem.output_shape[1], h, w), problem.dtype)
    begin = 0
    for array in arrays:
        end = begin + array.shape[1]
        rows, distance = pixel_rows(channels_last(array))
        target, target_distance = pixel_rows(result[:, begin:end])
        _copy_rows(tasks_for(array.size), rows, distance, n * h * w, end - begin, target, target_distance)
        begin = end
    return result


def refuses_elements(problem: ConcatProblem) -> str | None:
    return refuses_other_than_floats(problem) if problem.axis == 0 else "it joins along axis 0"


@forward.variant("elements", device="cpu", only_launches=True, priority=10, refuses=refuses_elements)
def forward_elements(problem: ConcatProblem, arrays: tuple[np.ndarray, ...]) -> np.ndarray:
    result = empty(problem.output_shape, problem.dtype)
    begin, flat = 0, result.reshape(-1)
    for array in arrays:
        end = begin + array.size
        _copy_elements(tasks_for(array.size), contiguous(array).reshape(-1), flat[begin:end])
        begin = end
    return result
