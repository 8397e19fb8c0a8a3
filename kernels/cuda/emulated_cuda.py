"""`cupy.cuda` for the emulator: streams, graphs, memory for copies. All of it happens at once, in order.

A stream's capture keeps what it is asked to do (`recording.py`), and its Graph does that at each launch. Memory is
never handed out twice, so that what only holds where a graph's memory is kept apart does not show here. But it is
gone with its pool: numbers that outlive that are overwritten.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import recording

GONE = 0xFF  # the bytes of memory whose pool is no more; a NaN in every floating format


class Event:
    """A point in a stream's work, which has always been reached."""

    def synchronize(self) -> None:
        recording.refuse("somebody waits for an event")


class Graph:
    """What a stream was asked to do while it was captured."""

    def __init__(self, actions: list[recording.Action]) -> None:
        self._actions = actions

    def launch(self, stream: Stream | None = None) -> None:
        """Do all of it."""
        for action in self._actions:
            action()


class Stream:
    """Work that is done in order."""

    def __init__(self, non_blocking: bool = False) -> None:
        self.non_blocking = non_blocking

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None: ...

    def begin_capture(self) -> None:
        recording.begin()

    def end_capture(self) -> Graph:
        return Graph(recording.end())

    def record(self) -> Event:
        return Event()

    def wait_event(self, event: Event) -> None: ...

    def synchronize(self) -> None:
        recording.refuse("somebody waits for a stream")


def get_current_stream() -> Stream:
    """A stream like all the others."""
    return Stream()


class MemoryPool:
    """Memory of a graph's own. As CuPy's, it does not outlive the pool; NumPy gets it, not `allocator`."""

    def __init__(self, allocator: Any = None) -> None:
        self.buffers: MutableMapping[int, np.ndarray] = weakref.WeakValueDictionary()
        weakref.finalize(self, _overwrite, self.buffers).atexit = False

    def malloc(self, size: int) -> None: ...

    def total_bytes(self) -> int:
        return 0


def _overwrite(buffers: MutableMapping[int, np.ndarray]) -> None:
    for buffer in list(buffers.values()):
        buffer.fill(GONE)


_default_pool = MemoryPool()
_present_pool = _default_pool


def get_default_memory_pool() -> MemoryPool:
    """The pool of all, which lasts as long as the program."""
    return _default_pool


@contextmanager
def using_allocator(allocator: Any) -> Iterator[None]:
    """Take memory from a pool, whose `malloc` is the allocator, inside a `with` block."""
    global _present_pool
    before, _present_pool = _present_pool, allocator.__self__
    try:
        yield
    finally:
        _present_pool = before


def belongs_to_the_present_pool(buffer: np.ndarray) -> None:
    """Tell of bytes that were just handed out."""
    if _present_pool is not _default_pool:
        _present_pool.buffers[id(buffer)] = buffer


def alloc_pinned_memory(size: int) -> bytearray:
    """Memory of the host that a device copies from or to while the program goes on."""
    return bytearray(size)
