"""How long variants take: in turns, on cold caches, on rotating arguments, with a sample checked in every round.

Taking turns lets whatever else the machine does meet all variants alike. Before each call the caches are filled
with other data (or, warm, left with the very arguments of the call), and the arguments are those of another set
than the time before. On a GPU the time is between two events; the work that empties its cache keeps it busy
while Python launches, so that what is timed is the kernels.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from minigrad.device import library
from minigrad.kernels.cpu.rows import span
from minigrad.kernels.cpu.tasks import task_kernel

from .case import Case
from .check import LARGEST, WrongError

FEWEST_ROUNDS, MOST_ROUNDS = 5, 200
SAMPLES = 16  # elements of each result that are looked at after every timed call
PAUSE = 0.001  # seconds before a call, in which threads that wait for more work fall asleep


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

    def overlaps(self, other: Timing) -> bool:
        """Whether the intervals from p20 to p80 have something in common: the two are not told apart."""
        return self.quantile(0.2) <= other.quantile(0.8) and other.quantile(0.2) <= self.quantile(0.8)


@dataclass
class Runner:
    """What is timed: `run(number)` computes set `number` of a case and gives its results."""

    name: str
    run: Callable[[int], Any]
    tolerance: float | None = None  # None: results are not looked at (PyTorch's)
    seconds: list[float] = field(default_factory=list)
    failed: str | None = None
    given_up: bool = False

    @property
    def timing(self) -> Timing:
        return Timing(tuple(self.seconds))


@task_kernel
def _touch(task, tasks, buffer):  # type: ignore[no-untyped-def]
    for i in range(*span(task, tasks, buffer.size)):
        buffer[i] += 1


class Clock(Protocol):
    """What times one call: after `empty_caches`, `time` gives its seconds and its results."""

    def empty_caches(self) -> None: ...

    def time(self, function: Callable[[], Any]) -> tuple[float, Any]: ...


class CpuClock:
    """A monotonic clock, and a buffer that fills every cache."""

    def __init__(self) -> None:
        self._buffer = np.zeros(largest_cache() // 8, np.int64)

    def empty_caches(self) -> None:
        _touch(64, self._buffer)

    def time(self, function: Callable[[], Any]) -> tuple[float, Any]:
        start = time.perf_counter()
        result = function()
        return time.perf_counter() - start, result


class GpuClock:
    """CUDA events, and a buffer that is larger than the second-level cache."""

    def __init__(self) -> None:
        self._cupy = library("cuda")
        size = int(self._cupy.cuda.Device().attributes["L2CacheSize"])
        self._buffer = self._cupy.zeros(4 * size, self._cupy.uint8)
        self._events = self._cupy.cuda.Event(), self._cupy.cuda.Event()

    def empty_caches(self) -> None:
        self._buffer += 1

    def time(self, function: Callable[[], Any]) -> tuple[float, Any]:
        start, stop = self._events
        start.record()
        result = function()
        stop.record()
        stop.synchronize()
        return 1e-3 * self._cupy.cuda.get_elapsed_time(start, stop), result


def largest_cache() -> int:
    """Bytes of the processor's last cache, 16 to 64 MiB: servers share a larger one among more than us."""
    sizes = [1 << 24]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text.rstrip("KM")) * (1 << 20 if text.endswith("M") else 1 << 10))
    return min(max(sizes), 1 << 26)


class Samples:
    """A few elements of each result and what they must be, drawn anew for every round; always the last one, too.

    Looked at right after a timed call, they find a variant that returns before its work is done, or does
    other work when it is timed.
    """

    def __init__(self, case: Case, generator: np.random.Generator) -> None:
        self.case, self.generator = case, generator
        self._scales = [float(np.sqrt(np.mean(right.astype(float) ** 2) or 1)) if right.size else 1.0
                        for right in case.expected[0].values()]  # fmt: skip

    def check(self, results: Any, number: int, tolerance: float) -> None:
        """Raise a WrongError if a sample of the results of set `number` is wrong."""
        results = self.case.results(number, results)
        expected = self.case.expected[number].items()
        shapes = [getattr(result, "shape", None) for result in results]
        if shapes != [right.shape for _, right in expected]:
            raise WrongError(f"it returns {', '.join(map(str, shapes))} and not what it returned before")
        for result, (name, right), scale in zip(results, expected, self._scales, strict=True):
            if not right.size:
                continue
            if not right.ndim:
                right, result = right.reshape(1), result.reshape(1)
            places = np.append(self.generator.integers(0, right.size, SAMPLES - 1), right.size - 1)
            index = np.unravel_index(places, right.shape)
            got = result[index]
            got = (got.get() if hasattr(got, "get") else np.array(got)).astype(np.float64)
            exact = right.dtype.kind in "iu"
            allowed = 0.0 if exact else LARGEST * tolerance * np.maximum(np.abs(right[index]), scale)
            wrong = ~(np.abs(got - right[index]) <= allowed)  # NaN is not below anything
            if wrong.any():
                first = int(np.argmax(wrong))
                place = ", ".join(str(int(axis[first])) for axis in index)
                raise WrongError(
                    f"{name}[{place}] is {got[first]:.6g} as it returns, "
                    f"and should be {float(right[index][first]):.6g}"
                )


def _timed(runner: Runner, case: Case, clock: Clock, number: int, warm: bool) -> tuple[float, Any]:
    """The seconds of a call with set `number`, and its results."""
    case.restore(number)
    if warm:
        runner.run(number)
        case.restore(number)
    else:
        clock.empty_caches()
    time.sleep(PAUSE)
    return clock.time(lambda: runner.run(number))


def measure(
    runners: Sequence[Runner],
    case: Case,
    clock: Clock,
    seconds: float,
    warm: bool,
    generator: np.random.Generator,
    progress: Callable[[str], None] = lambda name: None,
    hopeless: float = math.inf,
) -> None:
    """Time the runners in turns, each for about `seconds` and at least FEWEST_ROUNDS rounds after one that
    does not count; their seconds, or why they failed, are left in them.

    What lies between the timed calls is part of `seconds`: emptying caches takes longer than most small layers.

    One that takes more than `hopeless` times as long as the fastest in the first two rounds gets no third.
    """
    samples = Samples(case, generator) if case.expected else None
    spent = dict.fromkeys((runner.name for runner in runners), 0.0)
    least = dict.fromkeys(spent, math.inf)
    for turn in range(MOST_ROUNDS + 1):
        active = [
            runner
            for runner in runners
            if not (runner.failed or runner.given_up)
            and (len(runner.seconds) < FEWEST_ROUNDS or spent[runner.name] < seconds)
        ]
        if not active:
            return
        for runner in active:
            progress(runner.name)
            number = 0 if warm else turn % len(case.sets)
            start = time.monotonic()
            try:
                elapsed, results = _timed(runner, case, clock, number, warm)
                if runner.tolerance is not None and samples is not None:
                    samples.check(results, number, runner.tolerance)
            except WrongError as error:
                runner.failed = f"when it is timed, {error}"
                continue
            least[runner.name] = min(least[runner.name], elapsed)
            if turn:
                runner.seconds.append(elapsed)
                spent[runner.name] += time.monotonic() - start
        if turn == 1:
            fastest = min(least[runner.name] for runner in active)
            for runner in active:
                runner.given_up = least[runner.name] > hopeless * fastest
