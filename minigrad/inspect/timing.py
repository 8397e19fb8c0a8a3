"""Where the time goes: seconds of each operation, forward and backward, by operation or by module."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from ..autograd import Function, Hook, hook
from ..kernels.errors import MinigradError
from ..nn import Module, module_path, running_modules
from .table import as_text


@dataclass
class Timing:
    """What one operation, or one module, took: calls forward, and seconds in each direction."""

    calls: int = 0
    forward: float = 0.0
    backward: float = 0.0

    @property
    def seconds(self) -> float:
        return self.forward + self.backward


class Timer(Hook):
    """Times every operation; what a backward formula calls counts for the operation it belongs to.

    The clock is the host's: on a GPU it sees launches, not what they start.
    """

    def __init__(self) -> None:
        self._timings: dict[tuple[str, tuple[Module, ...]], Timing] = defaultdict(Timing)
        self._modules: WeakKeyDictionary[Function, tuple[Module, ...]] = WeakKeyDictionary()
        self._going_back = False
        self._start = 0.0

    def before_forward(self, function: Function, inputs: tuple[Any, ...]) -> None:
        if not self._going_back:
            self._start = time.perf_counter()

    def after_forward(self, function: Function, inputs: tuple[Any, ...], output: Any) -> None:
        if not self._going_back:
            elapsed = time.perf_counter() - self._start
            self._modules[function] = running_modules()
            timing = self._timings[function.name, self._modules[function]]
            timing.calls += 1
            timing.forward += elapsed

    def before_backward(self, function: Function, gradient: Any) -> None:
        self._going_back = True
        self._start = time.perf_counter()

    def after_backward(self, function: Function, gradient: Any, results: Any) -> None:
        self._going_back = False
        elapsed = time.perf_counter() - self._start
        self._timings[function.name, self._modules.get(function, ())].backward += elapsed

    def timings(self, by: str = "operation") -> dict[str, Timing]:
        """The timings added up by "operation" or by "module" (its path), the longest first."""
        if by not in ("operation", "module"):
            raise MinigradError(f"timings are by 'operation' or by 'module', not by {by!r}")
        paths = {modules: _path(modules) for _, modules in self._timings}
        sums: dict[str, Timing] = defaultdict(Timing)
        for (name, modules), timing in self._timings.items():
            row = sums[name if by == "operation" else paths[modules]]
            row.calls += timing.calls
            row.forward += timing.forward
            row.backward += timing.backward
        return dict(sorted(sums.items(), key=lambda item: -item[1].seconds))

    def table(self, by: str = "operation") -> str:
        """The timings in milliseconds as text, with each one's share of the whole."""
        timings = self.timings(by)
        whole = sum(timing.seconds for timing in timings.values()) or 1.0
        rows = [
            (
                name,
                str(timing.calls),
                f"{1e3 * timing.forward:.2f}",
                f"{1e3 * timing.backward:.2f}",
                f"{1e3 * timing.seconds:.2f}",
                f"{timing.seconds / whole:.1%}",
            )
            for name, timing in timings.items()
        ]
        total = Timing(
            sum(t.calls for t in timings.values()),
            sum(t.forward for t in timings.values()),
            sum(t.backward for t in timings.values()),
        )
        rows.append(
            (
                "total",
                str(total.calls),
                f"{1e3 * total.forward:.2f}",
                f"{1e3 * total.backward:.2f}",
                f"{1e3 * total.seconds:.2f}",
                "",
            )
        )
        return as_text((by, "calls", "forward ms", "backward ms", "total ms", "share"), rows)


def _path(modules: tuple[Module, ...]) -> str:
    if not modules:
        return "(no module)"
    return module_path(modules) or type(modules[0]).__name__


@contextmanager
def timer() -> Iterator[Timer]:
    """Time every operation inside this `with` block; `table()` of what it gives is the result."""
    measuring = Timer()
    with hook(measuring):
        yield measuring
