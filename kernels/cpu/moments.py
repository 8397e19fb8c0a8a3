"""Mean and variance of channels, counted by a task from rows that it has just written, while the cache holds them.

A task keeps four numbers a channel: how many values, the first of them, and the sums of what all differ from it
and of the squares of that, in float64. Differences from a value of the same channel lose nothing to cancellation
where the mean is large; parts of several tasks are joined as in Chan, Golub and LeVeque, "Updating formulae and
a pairwise algorithm for computing sample variances" (1979), equation 2.1.
"""

from __future__ import annotations

import numpy as np

from .jit import jit
from .rows import view

KEPT = 4  # numbers a channel: count, first value, sum, sum of squares


@jit
def add_moments(y, starts, count, first, last, moments):  # type: ignore[no-untyped-def]
    """Count the channels `first` to `last` of the rows that begin at y[start] for `count` starts >= 0.

    Starts below zero are left out. `moments` (4, channels) begins as zeros.
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


def joined_moments(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance from the numbers (tasks, 4, channels) of all tasks, in float64."""
    count, first, total, squares = moments.transpose(1, 0, 2)
    shift = total / np.maximum(count, 1)
    means, everything = first + shift, count.sum(0)
    mean = (count * means).sum(0) / everything
    deviation = means - mean
    variance = (squares - total * shift + count * deviation * deviation).sum(0) / everything
    return mean, np.maximum(variance, 0)
