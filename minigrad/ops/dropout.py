"""Dropout: a linear operation, whose gradient draws the same mask again."""

from __future__ import annotations

from ..autograd import Function, apply
from ..kernels import dropout
from ..kernels.arrays import Array
from ..tensor import Tensor


class Dropout(Function):
    """x * mask / (1 - probability), with the mask of `seed`, `offset` and `base` (`kernels.dropout`)."""

    saves_inputs = False

    def __init__(self, problem: dropout.DropoutProblem, seed: int, offset: int, base: Array | None = None) -> None:
        self.problem, self.place = problem, (seed, offset, base)

    def forward(self, x: Array) -> Array:
        return dropout.forward(self.problem, x, *self.place)

    def backward(self, gradient: Tensor) -> Tensor:
        return apply(Dropout(self.problem, *self.place), gradient)
