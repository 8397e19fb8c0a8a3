"""Layers without parameters that act on elements or on shapes."""

from __future__ import annotations

from ..ops.shape import flatten
from ..random import Generator
from ..tensor import Tensor
from . import functional as F
from .arguments import number
from .module import Module


class ReLU(Module):
    """max(0, x)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


class Dropout(Module):
    """Sets elements to zero at random in training: `nn.functional.dropout`.

    Args:
        p: the probability for each element.
        generator: where to draw from; `minigrad.random.default_generator` if None.

    Raises:
        MinigradError: if `p` is not a probability.
    """

    def __init__(self, p: float = 0.5, generator: Generator | None = None) -> None:
        self.p = number("Dropout", "p", p, most=1.0)
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training, self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Flatten(Module):
    """The axes from `start_dim` to `end_dim`, both included, as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
