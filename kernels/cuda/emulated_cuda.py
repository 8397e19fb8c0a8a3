"""`cupy.cuda` for the emulator: streams, graphs, memory for copies. All of it happens at once, in order.

A stream's capture keeps what it is asked to do (`recording.py`), and its Graph does that at each launch. Memory is
never handed out twice, so that what only holds where a graph's memory is kept apart does not show here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from . import recording


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
    """Memory of a graph's own."""

    def malloc(self, size: int) -> None: ...

    def total_bytes(self) -> int:
        return 0


def using_allocator(allocator: Callable[[int], None]) -> AbstractContextManager[None]:
    """Take memory from `allocator` inside a `with` block."""
    return nullcontext()


def alloc_pinned_memory(size: int) -> bytearray:
    """Memory of the host that a device copies from or to while the program goes on."""
    return bytearray(size)
