"""Bilinear interpolation over channels-last rows: rows of pixels over threads, channels in vector lanes.

Which pixels a place lies between stands in small tables. Gradients are gathered: each pixel adds up what the
places around it send, in a fixed order.

- `reference` multiplies every row and column by a matrix that is nearly all zeros;
- `channels_last` reads four pixels a place: 3 to 6 times as fast forward, 1.1 to 7 times backward (images of 1, 3
  and 64 channels, two cores).
"""

from __future__ import annotations

import numpy as np

from ..cpu.buffers import channels_last, empty_channels_last, pixel_rows
from ..cpu.floats import refuses_other_than_floats
from ..cpu.rows import row
from ..cpu.tasks import task_kernel
from . import forward, input_gradient
from .problem import InterpolateProblem


@task_kernel
def _forward(  # type: ignore[no-untyped-def]
    task, tasks, x, distance, height, width, channels, lower_rows, down, lower_columns, across, y
):
    """A task is one row of new pixels."""
    one = across.dtype.type(1)
    n, p = task // lower_rows.size, task % lower_rows.size
    upper = (n * height + lower_rows[p]) * width
    below = (n * height + min(lower_rows[p] + 1, height - 1)) * width
    for q in range(lower_columns.size):
        left, right = lower_columns[q], min(lower_columns[q] + 1, width - 1)
        upper_left, upper_right = (
            row(x, upper + left, distance, channels),
            row(x, upper + right, distance, channels),
        )
        below_left, below_right = (
            row(x, below + left, distance, channels),
            row(x, below + right, distance, channels),
        )
        y_row = row(y, task * lower_columns.size + q, channels, channels)
        for c in range(channels):
            first = (one - across[q]) * upper_left[c] + across[q] * upper_right[c]
            second = (one - across[q]) * below_left[c] + across[q] * below_right[c]
            y_row[c] = (one - down[p]) * first + down[p] * second


@task_kernel
def _input_gradient(  # type: ignore[no-untyped-def]
    task, tasks, gy, distance, channels, lower_rows, down, first_rows, stop_rows,
    lower_columns, across, first_columns, stop_columns, gx
):  # fmt: skip
    """A task is one row of old pixels."""
    one, height, width = across.dtype.type(1), first_rows.size, first_columns.size
    n, h = task // height, task % height
    for w in range(width):
        gx_row = row(gx, task * width + w, channels, channels)
        gx_row[:] = 0
        for p in range(first_rows[h], stop_rows[h]):
            of_row = (one - down[p]) * (lower_rows[p] == h) + down[p] * (min(lower_rows[p] + 1, height - 1) == h)
            for q in range(first_columns[w], stop_columns[w]):
                of_column = (one - across[q]) * (lower_columns[q] == w)
                of_column += across[q] * (min(lower_columns[q] + 1, width - 1) == w)
                gy_row = row(gy, (n * lower_rows.size + p) * lower_columns.size + q, distance, channels)
                weight = of_row * of_column
                for c in range(channels):
                    gx_row[c] += weight * gy_row[c]


@forward.variant("channels_last", device="cpu", priority=10, refuses=refuses_other_than_floats)
def forward_channels_last(problem: InterpolateProblem, x: np.ndarray) -> np.ndarray:
    n, c, h, w = problem.shape
    rows, columns = problem.neighbours(0), problem.neighbours(1)
    y = empty_channels_last(problem.output_shape, x.dtype)
    places = rows.lower, rows.fraction.astype(x.dtype), columns.lower, columns.fraction.astype(x.dtype)
    _forward(n * problem.output_size[0], *pixel_rows(channels_last(x)), h, w, c, *places, pixel_rows(y)[0])
    return y


@input_gradient.variant("channels_last", device="cpu", priority=10, refuses=refuses_other_than_floats)
def input_gradient_channels_last(problem: InterpolateProblem, gy: np.ndarray) -> np.ndarray:
    n, c, h, _ = problem.shape
    gx = empty_channels_last(problem.shape, gy.dtype)
    places = [
        table
        for at in (problem.neighbours(0), problem.neighbours(1))
        for table in (at.lower, at.fraction.astype(gy.dtype), at.first, at.stop)
    ]
    _input_gradient(n * h, *pixel_rows(channels_last(gy)), c, *places, pixel_rows(gx)[0])
    return gx
