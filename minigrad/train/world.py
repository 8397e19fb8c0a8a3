"""The processes that train together, as far as the loop knows them: a number each, how many, and a sum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from minigrad.kernels.arrays import Array
from minigrad.nn import Parameter


class World(Protocol):
    """One process among `world_size` that train one model.

    Attributes:
        rank: the number of this process, from 0; process 0 writes the files.
        world_size: how many there are.
    """

    rank: int
    world_size: int

    def all_reduce(self, array: Array) -> Array:
        """The sum of `array` over all processes, in every process; may be made in place."""
        ...


class Alone:
    """A world of one process."""

    rank = 0
    world_size = 1

    def all_reduce(self, array: Array) -> Array:
        return array


def average_gradients(world: World, parameters: Iterable[Parameter]) -> None:
    """Replace each gradient by its mean over the processes, which all take the same step then."""
    if world.world_size == 1:
        return
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.data[...] = world.all_reduce(parameter.grad.data) / world.world_size
