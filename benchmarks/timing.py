"""Timing of several functions that take turns in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from minigrad.workbench.timing import Timing


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
