"""What the emulator is asked to do, kept to be done again: its twin of a CUDA stream's capture.

As while a stream is captured, nothing is computed in memory that was there before, and nothing can be read: both
come with the replay. Kernel launches are only kept. Operations of the array library give new arrays of the right
shape and of no meaning, so that the program goes on, and are kept to fill those arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ..errors import KernelError

Action = Callable[[], object]

_actions: list[Action] | None = None
_inside = False  # of an operation of the library, whose own steps are not to be kept one by one


def begin() -> None:
    """Keep what follows. Raises KernelError if that is being done."""
    global _actions
    if _actions is not None:
        raise KernelError("a capture has begun already, and cannot begin a second time")
    _actions = []


def end() -> list[Action]:
    """What was kept since `begin`, to be called in this order. Raises KernelError if nothing has begun."""
    global _actions
    if _actions is None:
        raise KernelError("no capture has begun")
    actions, _actions = _actions, None
    return actions


def is_on() -> bool:
    """Whether what is asked for now is to be kept."""
    return _actions is not None and not _inside


def keep(action: Action) -> None:
    assert _actions is not None
    _actions.append(action)


@contextmanager
def inside_an_operation() -> Iterator[None]:
    """The steps of an operation that is kept as a whole; their numbers mean nothing and may overflow."""
    global _inside
    before, _inside = _inside, True
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        _inside = before


def refuse(what: str) -> None:
    """Raise a KernelError while things are kept: `what` would have to wait for the device."""
    if is_on():
        raise KernelError(f"{what} while a graph is captured: nothing has been computed yet, and nobody may wait")
