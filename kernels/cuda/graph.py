"""Many launches as one: what a CUDA graph is captured with, on a GPU and in the emulator.

    stream = GraphStream(xp)
    with stream:                                  # all work on the arrays in question, from now on
        graph, result = stream.capture(work)      # work() is called, and nothing is computed
        graph.launch()                            # it is; `result` has the arrays that it goes to

A captured program always does the same to the same memory. So while it is captured nothing may wait for the
device, copy from the host or read a number that is computed; CuPy and the emulator raise an error. What changes
from launch to launch stands in arrays that are written before it.

Memory that is allocated in a capture comes from a pool of the stream's own, which nobody else uses: CuPy's graphs
keep nothing alive by themselves. All of it is given back with the stream, also what is still in use.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from ..arrays import Array
from ..errors import KernelError

Result = TypeVar("Result")


class _Capture:
    """What a graph needs besides its launches: tables, which live as long as it does, and what they hold."""

    def __init__(self) -> None:
        self.tables: list[tuple[Array, np.ndarray]] = []


_capture: _Capture | None = None


def is_capturing() -> bool:
    """Whether a graph is being captured, so that nobody may wait for the device."""
    return _capture is not None


def fill_afterwards(array: Array, table: np.ndarray) -> None:
    """Copy `table` of the host to `array` at the end of the present capture, once for all launches."""
    assert _capture is not None
    _capture.tables.append((array, table))


def lasting_memory(xp: ModuleType) -> AbstractContextManager[Any]:
    """Inside this `with` block memory comes from the pool of all, where a stream's own is in use, too."""
    if xp is np:  # which has one for everything
        return nullcontext()
    return xp.cuda.using_allocator(xp.get_default_memory_pool().malloc)


class Graph:
    """Launches that were captured, and all the memory that they use."""

    def __init__(self, graph: Any, stream: Any, kept: list[Any]) -> None:
        self._graph, self._stream, self._kept = graph, stream, kept

    def launch(self) -> None:
        """Ask the device to do all of it; returns before it has been done."""
        self._graph.launch(self._stream)


def _pool_that_keeps(xp: ModuleType) -> Any:
    """A pool of memory whose pieces stay what they are for as long as it lasts.

    CuPy's pools give what nobody holds back to the driver before they say that memory is short; but a graph that
    was captured before still goes to it.
    """
    pieces: list[Any] = []

    def allocate(size: int) -> Any:
        piece = xp.cuda.Memory(size)
        pieces.append(piece)
        return xp.cuda.MemoryPointer(piece, 0)

    return xp.cuda.MemoryPool(allocate)


class GraphStream:
    """A stream of work on a device, in which graphs are captured and launched.

    Inside a `with` block it is the present stream, and comes after all that was asked for before the block; what
    is asked for behind the block comes after it. Nobody waits for that.

    Args:
        xp: the library of the device's arrays, CuPy or the emulator's NumPy.
    """

    def __init__(self, xp: ModuleType) -> None:
        self.xp = xp
        self.stream = xp.cuda.Stream(non_blocking=True)
        self.pool = _pool_that_keeps(xp)

    def __enter__(self) -> GraphStream:
        self._outer = self.xp.cuda.get_current_stream()
        self.stream.wait_event(self._outer.record())
        self.stream.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.__exit__(*error)
        self._outer.wait_event(self.stream.record())

    def own_memory(self) -> AbstractContextManager[Any]:
        """Inside this `with` block memory comes from the stream's own pool."""
        return self.xp.cuda.using_allocator(self.pool.malloc)

    def synchronize(self) -> None:
        """Wait until all that was asked for has been done."""
        self.stream.synchronize()

    def capture(self, work: Callable[[], Result]) -> tuple[Graph, Result]:
        """Call `work` to capture what it launches on this stream, which must be the present one.

        Raises:
            KernelError: if something in `work` would have to wait for the device, or another capture is going on.
        """
        global _capture
        if _capture is not None:
            raise KernelError("a graph cannot be captured while another one is")
        gc.collect()  # what is given back to the pools now is not given back in the middle of the capture
        with self.own_memory():
            self.stream.begin_capture()
            _capture = capture = _Capture()
            try:
                result = work()
            except BaseException:
                _capture = None
                self._abandon()
                raise
            _capture = None
            graph = self.stream.end_capture()
        for array, table in capture.tables:
            array.set(table)
        return Graph(graph, self.stream, [capture, self.pool, result]), result

    def capture_and_launch(self, work: Callable[[], Result]) -> tuple[Graph, Result]:
        """As `capture`, and ask for all of it to be done once."""
        graph, result = self.capture(work)
        graph.launch()
        return graph, result

    def _abandon(self) -> None:
        """End a capture that is of no use; what went wrong in it is told by the error that is on its way."""
        with suppress(Exception):
            self.stream.end_capture()
