"""Which recorded Functions read which memory when they go back: what makes changes in place safe.

All Tensors over the same memory (a Tensor, what is detached from it, views) share one `Readers`. A Function
that keeps a Tensor for its backward pass adds itself. Whoever is about to write can ask whether one still waits;
whoever has written tells those who wait, and they refuse to give gradients made of values that they never saw.
"""

from __future__ import annotations

import weakref
from typing import Protocol


class Reader(Protocol):
    """What reads memory again later on: a recorded Function, or who keeps a copy that must stay true.

    Attributes:
        freed: whether it will not read any more.
        spoiled_by: what changed the memory since it was read first, "" while nothing did.
    """

    name: str
    freed: bool
    spoiled_by: str


class Readers(list[weakref.ref[Reader]]):
    """Those that read one piece of memory; they are not kept alive."""

    __slots__ = ()

    def add(self, function: weakref.ref[Reader]) -> None:
        count = len(self)
        if count >= 8 and count & (count - 1) == 0:
            # Parameters are read at every step: forget the readers that are gone, at every doubling.
            self[:] = [known for known in self if _is_waiting(known)]
        self.append(function)

    def waiting(self) -> str:
        """The name of a Function that has not gone back yet, or ""."""
        return next((function.name for function in map(_is_waiting, self) if function), "")

    def note_change(self, change: str) -> None:
        """Tell every Function that still waits of a change in place; it cannot go back any more."""
        for function in map(_is_waiting, self):
            if function is not None:
                function.spoiled_by = function.spoiled_by or change
        self.clear()


def _is_waiting(reference: weakref.ref[Reader]) -> Reader | None:
    """The Function, if it has not gone back yet."""
    function = reference()
    return None if function is None or function.freed else function
