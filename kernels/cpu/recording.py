"""What a program asks of the CPU, kept to be done again without the program: the CPU's twin of a captured graph.

    with recording:
        y = work(x)          # computed as ever, and kept
    plan = Plan(recording)   # see `plan.py`
    x[...] = other
    plan.launch()            # y is what work(x) would give now

A program that does the same to the same memory each time need not be asked each time what that is. Between the
kernels of a training step Python spends an eighth of it, and half of the time of one image through GoogLeNet.

What is kept is what passes through minigrad: launches of task kernels (`tasks.py`), each a few numbers, which are
replayed many at a time in compiled code; and calls of everything else that computes (`again`), which are repeated.
Nothing else is seen. What cannot be repeated spoils the recording, which then says why; the work itself goes on.

Memory must come from a pool of its own meanwhile (`buffers.allocating_from`): what is freed in it is used
again by what comes later in the recording, and by nobody else. All else that a launch touches is kept alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from ..arrays import owner
from ..errors import KernelError

Result = TypeVar("Result")


class Pool(Protocol):
    """Where memory comes from that nobody else uses."""

    def holds(self, array: np.ndarray) -> bool: ...


class Launch(NamedTuple):
    """A call of a task kernel: the address of its compiled entry, how many tasks, the table of its arguments."""

    entry: int
    tasks: int
    table: np.ndarray


class Recording:
    """What was asked inside its `with` block; see the top of this file.

    Args:
        pool: keeps the memory that is allocated meanwhile.

    Attributes:
        trouble: why it cannot be repeated, or "".
        steps: launches and calls, in order.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.trouble = ""
        self.steps: list[Launch | Callable[[], object]] = []
        self._alive: list[np.ndarray] = []
        self._computed: set[int] = set()  # the ids of the memory of what calls gave, which the calls keep alive

    def __enter__(self) -> Recording:
        if _active.get() is not None:
            raise KernelError("a recording cannot begin inside another one")
        self._token = _active.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        _active.reset(self._token)

    def keep_launch(self, launch: Launch, arguments: tuple[Any, ...]) -> None:
        """Keep a launch, and the arrays among its arguments that the pool does not keep."""
        self.steps.append(launch)
        for argument in arguments:
            if isinstance(argument, np.ndarray) and not self.pool.holds(argument):
                self._alive.append(argument)

    def keep_call(self, work: Callable[[], Result], result: Result, inputs: Any = ()) -> Result:
        """Keep `work`, which gave `result` just now; gives what gets its results from now on. See `again`."""
        result = _arrays_only(result)
        kept = list(_arrays_in(result))
        if kept and all(any(np.may_share_memory(array, x) for x in _arrays_in(inputs)) for array in kept):
            return result

        def repeat() -> None:
            for array, new in zip(kept, _arrays_in(_arrays_only(work())), strict=True):
                if new is not array:
                    np.copyto(array, new)

        self.steps.append(repeat)
        self._computed.update(id(owner(array)) for array in kept)
        return result

    def computes(self, array: np.ndarray) -> bool:
        """Whether one of the calls that were kept fills the memory of `array` anew at each replay."""
        return id(owner(array)) in self._computed

    def spoil(self, trouble: str) -> None:
        """It cannot be replayed. The first reason counts."""
        self.trouble = self.trouble or trouble


_active: ContextVar[Recording | None] = ContextVar("minigrad_recording_of_launches", default=None)


def recording() -> Recording | None:
    """The recording that is going on."""
    return _active.get()


@contextmanager
def paused() -> Iterator[None]:
    """What is asked inside this `with` block is not kept: it is not part of the work."""
    token = _active.set(None)
    try:
        yield
    finally:
        _active.reset(token)


def spoil(trouble: str) -> None:
    """Say of what is being done that it cannot be repeated."""
    present = _active.get()
    if present is not None:
        present.spoil(trouble)


def again(work: Callable[[], Result], inputs: Any = ()) -> Result:
    """`work()`, and in a recording once more at each replay; the arrays that it gave now get the new numbers.

    What `work` changes in place is changed again, too. Where it only gives views of the arrays among `inputs`,
    there is nothing to repeat. Numbers become arrays without axes while it is recorded.
    """
    present = _active.get()
    if present is None:
        return work()
    with paused():
        result = work()
    return present.keep_call(work, result, inputs)


def _arrays_only(result: Any) -> Any:
    """Numbers of NumPy's as arrays, also inside of tuples and lists."""
    if isinstance(result, np.generic):
        return np.asarray(result)
    if type(result) in (tuple, list):
        return type(result)([_arrays_only(item) for item in result])
    return result


def _arrays_in(result: Any) -> Iterator[np.ndarray]:
    if isinstance(result, np.ndarray):
        yield result
    elif isinstance(result, tuple | list):
        for item in result:
            yield from _arrays_in(item)
