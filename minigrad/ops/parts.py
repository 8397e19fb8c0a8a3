"""A Tensor taken apart along its channels, for operations that each read some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import Function, apply, is_grad_enabled
from ..kernels.arrays import Array
from ..kernels.concat import SideBySide
from ..partial import PartGradient
from ..tensor import Tensor
from .shape import pad


class Division:
    """How a Tensor is divided, and the memory where the gradients of its parts belong, side by side."""

    def __init__(self, channels: Sequence[int]) -> None:
        self._channels = channels
        self._memory = SideBySide(channels)

    def place(self, number: int, shape: tuple[int, ...], like: Array) -> Array | None:
        place = self._memory.place(number, shape, like)
        if place is None:  # another pass over the same graph
            self._memory = SideBySide(self._channels)
            place = self._memory.place(number, shape, like)
        return place


class Part(Function):
    """Some of the channels of (N, C, H, W); a view. Its gradient is laid beside those of the other parts."""

    saves_inputs = False

    def __init__(self, number: int, start: int, stop: int, division: Division) -> None:
        self.number, self.start, self.stop, self.division = number, start, stop, division

    def forward(self, x: Array) -> Array:
        self.channels = x.shape[1]
        return x[:, self.start : self.stop]

    def backward(self, gradient: Tensor) -> Tensor:
        if is_grad_enabled() or not isinstance(self.edges[0], Function):
            return pad(gradient, ((0, 0), (self.start, self.channels - self.stop), (0, 0), (0, 0)))
        return PartGradient(gradient.data, self.start, self.channels, self.division)

    def _conform(self, gradient: Tensor, shape: tuple[int, ...], dtype: Any) -> Tensor:
        return gradient if isinstance(gradient, PartGradient) else super()._conform(gradient, shape, dtype)


def parts(x: Tensor, channels: Sequence[int]) -> list[Tensor]:
    """(N, C, H, W) as views of so many `channels` each, which add up to C."""
    division = Division(channels)
    views, start = [], 0
    for number, count in enumerate(channels):
        views.append(apply(Part(number, start, start + count, division), x))
        start += count
    return views


def place_of_gradient(maker: Any, shape: tuple[int, ...], like: Array) -> Array | None:
    """Where the gradient that flows into the result of `maker`, a Function or None, is best written."""
    return maker.division.place(maker.number, shape, like) if isinstance(maker, Part) else None
