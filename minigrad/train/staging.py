"""Copies between a host and a device that nobody waits for: to a GPU through memory that it reaches by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from minigrad.kernels.arrays import Array
from minigrad.kernels.cpu.plan import PlanStream
from minigrad.kernels.cuda.graph import GraphStream


class Values(Protocol):
    """Numbers that are there, or will be."""

    def read(self) -> np.ndarray: ...


class Copies(Protocol):
    """Copies to and from one array on a device, in the order of a stream."""

    def upload(self, values: np.ndarray, array: Array) -> None:
        """Copy `values` to `array` when its turn comes; the caller may change them at once."""

    def download(self, array: Array) -> Values:
        """Copy `array` as it is after all that has been asked for so far."""


def copies(stream: GraphStream | PlanStream, like: Array) -> Copies:
    """Copies to and from arrays such as `like`, which is C-contiguous."""
    return CopiesAtOnce() if isinstance(stream, PlanStream) else Staging(stream, like)


class CopiesAtOnce:
    """On the host itself."""

    def upload(self, values: np.ndarray, array: Array) -> None:
        array[...] = values

    def download(self, array: Array) -> Values:
        return Copy(array.copy())


class Copy:
    """Values of their own."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def read(self) -> np.ndarray:
        return self._values


class Staging:
    """Two arrays of the host that take turns, so that one is filled while the other is being copied.

    Args:
        stream: in whose order the copies are made.
        like: the array on the device that is copied to or from; C-contiguous.
    """

    def __init__(self, stream: GraphStream, like: Array) -> None:
        self.stream = stream.stream
        memories = [stream.xp.cuda.alloc_pinned_memory(max(1, like.nbytes)) for _ in range(2)]
        self._hosts = [np.ndarray(like.shape, like.dtype, buffer=memory) for memory in memories]
        self._events: list[Any] = [None, None]
        self._before_reuse: list[Callable[[], object]] = [lambda: None, lambda: None]
        self._turn = 0

    def _next(self) -> int:
        """Which of the two is free now, or is as soon as its last copy has been made."""
        self._turn = 1 - self._turn
        if self._events[self._turn] is not None:
            self._events[self._turn].synchronize()
        return self._turn

    def upload(self, values: np.ndarray, array: Array) -> None:
        turn = self._next()
        self._hosts[turn][...] = values
        array.set(self._hosts[turn], stream=self.stream)
        self._events[turn] = self.stream.record()

    def download(self, array: Array) -> Values:
        turn = self._next()
        self._before_reuse[turn]()
        array.get(stream=self.stream, out=self._hosts[turn], blocking=False)
        self._events[turn] = self.stream.record()
        download = Download(self._hosts[turn], self._events[turn])
        self._before_reuse[turn] = download.read
        return download


class Download:
    """Values that are on their way to the host."""

    def __init__(self, host: np.ndarray, event: Any) -> None:
        self._host, self._event = host, event
        self._values: np.ndarray | None = None

    def read(self) -> np.ndarray:
        """The values; waits for them where it has to."""
        if self._values is None:
            self._event.synchronize()
            self._values = self._host.copy()
        return self._values
