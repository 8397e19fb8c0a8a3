"""Timing of several functions that take turns in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """The seconds of each round of one function."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def quantile(self, share: float) -> float:
        """The duration that `share` of the rounds stayed below (nearest rank)."""
        ordered = sorted(self.seconds)
        return ordered[round(share * (len(ordered) - 1))]


def alternate(
    functions: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int = 2,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, Timing]:
    """Call the functions in turn, `rounds` times each after `warm_up` rounds that do not count.

    Taking turns lets whatever else the machine does meet all of them. Before each call there is a short
    pause, in which threads of the one before that still spin for more work fall asleep.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(warm_up + rounds):
        for name, function in functions.items():
            time.sleep(0.01)
            start = time.perf_counter()
            function()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - start)
            progress()
    return {name: Timing(tuple(values)) for name, values in seconds.items()}
