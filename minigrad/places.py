"""Where the results of several operations are best written, so that joining them copies nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .kernels.arrays import Array
from .kernels.concat import SideBySide
from .readers import Readers


@dataclass(frozen=True)
class Place:
    """The place of one (N, C, H, W) result among others.

    Attributes:
        readers: of the memory of all of them: whoever changes one may change what is made of all.
    """

    side_by_side: SideBySide
    number: int
    readers: Readers

    def array(self, shape: tuple[int, ...], like: Array) -> Array | None:
        """Memory for a result of `shape`; None if there is none (any more) that fits."""
        return self.side_by_side.place(self.number, shape, like)


def places_for(channels: Sequence[int]) -> list[Place]:
    """Places for results of so many `channels` each."""
    side_by_side, readers = SideBySide(channels), Readers()
    return [Place(side_by_side, number, readers) for number in range(len(channels))]
