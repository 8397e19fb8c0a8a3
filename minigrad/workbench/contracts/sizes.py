"""Strategies of hypothesis for the sizes of odd problems: small, and awkward more often than not.

Every range is short (`long` puts two together): of long ones, hypothesis likes to draw numbers that stand in the
source files that it finds, so that a change to a kernel's file would change the problems of a seed.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies
from hypothesis.strategies import SearchStrategy

Pair = tuple[int, int]


def number(least: int, most: int) -> SearchStrategy[int]:
    """An integer, `most` included; the smaller the simpler."""
    return strategies.integers(least, most)


def pair(least: int, most: int) -> SearchStrategy[Pair]:
    return strategies.tuples(number(least, most), number(least, most))


def long(most: int) -> SearchStrategy[int]:
    """A length from 1 to `most` thousands."""
    return strategies.tuples(number(0, most - 1), number(0, 99), number(1, 10)).map(
        lambda digits: 1000 * digits[0] + 10 * digits[1] + digits[2]
    )


def either(value: float) -> SearchStrategy[float]:
    """Zero or `value`."""
    return strategies.sampled_from([0.0, value])


def images(channels: int = 19) -> SearchStrategy[tuple[int, int, int, int]]:
    """The shape (N, C, H, W) of one to three small images."""
    return strategies.tuples(number(1, 3), number(1, channels), number(2, 13), number(2, 13))


def holding(window: Pair, padding: Pair, dilation: Pair, least: int = 1) -> SearchStrategy[Pair]:
    """A height and a width of at least `least` into which, with its padding, a window fits."""

    def axis(spans: Sequence[int]) -> SearchStrategy[int]:
        extent, pad, step = spans
        return number(max(least, step * (extent - 1) + 1 - 2 * pad), 13)

    height, width = zip(window, padding, dilation, strict=True)
    return strategies.tuples(axis(height), axis(width))
