"""Mean and variance of channels, counted by a task from rows that it has just written, while the cache holds them.

A task keeps four numbers a channel: how many values, the first of them, and the sums of what all differ from it
and of the squares of that, in float64. Differences from a value of the same channel lose nothing to cancellation
where the mean is large; parts of several tasks are joined as in Chan, Golub and LeVeque, "Updating formulae and
a pairwise algorithm for computing sample variances" (1979), equation 2.1.
"""

from __future__ import annotations

import numpy as np

from .jit import jit
from .rows import span, view
from .tasks import task_kernel, tasks_for

KEPT = 4  # numbers a channel: count, first value, sum, sum of squares


@jit
def add_moments(y, starts, count, first, last, moments):  # type: ignore[no-untyped-def]
    """Count the channels `first` to `last` of the rows that begin at y[start] for `count` starts >= 0.

    Starts below zero are left out. `moments` (4, channels) is set to zeros before the first rows.
    """
    channels = last - first
    rows = 0
    for index in range(count):  # the rows there are, moved together
        if starts[index] >= 0:
            starts[rows] = starts[index]
            rows += 1
    if rows == 0:
        return
    if moments[0, first] == 0:
        begin = view(y, starts[0] + first, channels)
        for channel in range(channels):
            moments[1, first + channel] = begin[channel]
    guess, totals, squares = moments[1, first:last], moments[2, first:last], moments[3, first:last]
    moments[0, first:last] += rows
    paired = rows // 4 * 4
    for index in range(0, paired, 4):  # four at once, as the sums are loaded and stored each time
        y0, y1 = view(y, starts[index] + first, channels), view(y, starts[index + 1] + first, channels)
        y2, y3 = view(y, starts[index + 2] + first, channels), view(y, starts[index + 3] + first, channels)
        for c in range(channels):
            d0, d1, d2, d3 = y0[c] - guess[c], y1[c] - guess[c], y2[c] - guess[c], y3[c] - guess[c]
            totals[c] += (d0 + d1) + (d2 + d3)
            squares[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
    for index in range(paired, rows):
        y0 = view(y, starts[index] + first, channels)
        for c in range(channels):
            d0 = y0[c] - guess[c]
            totals[c] += d0
            squares[c] += d0 * d0


@task_kernel
def _join(task, tasks, parts, count, mean, variance):  # type: ignore[no-untyped-def]
    """Mean and biased variance of `count` values a channel, from the numbers that all parts kept."""
    channels = mean.size
    first, last = span(task, tasks, channels)
    mean[first:last] = 0
    variance[first:last] = 0
    guess = parts[0, 1]
    for part in range(parts.shape[0]):
        counts, firsts, totals = parts[part, 0], parts[part, 1], parts[part, 2]
        for c in range(first, last):
            mean[c] += counts[c] * (firsts[c] - guess[c]) + totals[c]
    for c in range(first, last):
        mean[c] = guess[c] + mean[c] / count
    for part in range(parts.shape[0]):
        counts, firsts, totals, squares = parts[part, 0], parts[part, 1], parts[part, 2], parts[part, 3]
        for c in range(first, last):
            shift = totals[c] / max(counts[c], 1.0)
            deviation = firsts[c] + shift - mean[c]
            variance[c] += squares[c] - totals[c] * shift + counts[c] * deviation * deviation
    for c in range(first, last):
        value = variance[c] / count
        variance[c] = 0.0 if value < 0 else value


def joined_moments(parts: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance, in float64, from the numbers (tasks, 4, channels) of all tasks.

    `count` is how many values a channel has, those of all tasks together.
    """
    mean, variance = np.empty((2, parts.shape[2]))
    _join(tasks_for(parts.size), parts, count, mean, variance)
    return mean, variance
