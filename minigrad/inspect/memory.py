"""Where the memory goes: bytes of each operation's results, and which of them were alive at the peak."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..autograd import Function, Hook, hook
from ..kernels.arrays import Array, owner
from ..tensor import Tensor
from .table import as_text


class MemoryTracker(Hook):
    """Follows the arrays that operations return, from when they appear until they are freed.

    Views count for nothing. What kernels use only while they run, parameters and data are not seen.
    What a backward formula makes counts for the operation it belongs to.

    Attributes:
        live: bytes of results that are alive now.
        peak: the most bytes that were alive at one moment.
        allocated: operation -> bytes of all its results.
        live_at_peak: operation -> bytes of its results that were alive at the peak.
    """

    def __init__(self) -> None:
        self.live = self.peak = 0
        self.allocated: dict[str, int] = defaultdict(int)
        self.live_at_peak: dict[str, int] = {}
        self._live_by_operation: dict[str, int] = defaultdict(int)
        self._followed: set[int] = set()
        self._going_back: str | None = None

    def before_forward(self, function: Function, inputs: tuple[Any, ...]) -> None:
        for x in inputs:  # a result that is a view of an input that was there before is nobody's allocation
            if isinstance(x, Tensor):
                self._follow(x.data, None)

    def after_forward(self, function: Function, inputs: tuple[Any, ...], output: Tensor) -> None:
        self._follow(output.data, self._going_back or function.name)

    def before_backward(self, function: Function, gradient: Tensor) -> None:
        self._follow(gradient.data, None)
        self._going_back = f"{function.name} backward"

    def after_backward(self, function: Function, gradient: Tensor, results: Any) -> None:
        for result in results:
            if result is not None:
                self._follow(result.data, self._going_back)
        self._going_back = None

    def _follow(self, array: Array, operation: str | None) -> None:
        """Count the memory behind `array` for `operation`, or, if None, know it as counted for nobody."""
        memory = owner(array)
        key = id(memory)
        if key in self._followed:
            return
        self._followed.add(key)
        weakref.finalize(memory, self._forget, key, memory.nbytes, operation).atexit = False
        if operation is None:
            return
        self.live += memory.nbytes
        self.allocated[operation] += memory.nbytes
        self._live_by_operation[operation] += memory.nbytes
        if self.live > self.peak:
            self.peak = self.live
            self.live_at_peak = {name: size for name, size in self._live_by_operation.items() if size}

    def _forget(self, key: int, size: int, operation: str | None) -> None:
        self._followed.discard(key)
        if operation is not None:
            self.live -= size
            self._live_by_operation[operation] -= size

    def table(self) -> str:
        """Megabytes (10^6 bytes) by operation as text, those that held most at the peak first."""
        names = sorted(self.allocated, key=lambda name: (-self.live_at_peak.get(name, 0), -self.allocated[name]))
        rows = [
            (name, _megabytes(self.allocated[name]), _megabytes(self.live_at_peak.get(name, 0))) for name in names
        ]
        rows.append(("total", _megabytes(sum(self.allocated.values())), _megabytes(self.peak)))
        return as_text(("operation", "allocated MB", "live at peak MB"), rows)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f}"


@contextmanager
def track_memory() -> Iterator[MemoryTracker]:
    """Follow the results of every operation inside this `with` block; `table()` and `peak` are the result."""
    tracker = MemoryTracker()
    with hook(tracker):
        yield tracker
