"""Dropout: a linear operation, whose gradient draws the same mask again."""

from __future__ import annotations

from ..autograd import Function, apply
from ..kernels import dropout
from ..kernels.arrays import Array
from ..tensor import Tensor


class Dropout(Function):
    """x * mask / (1 - probability), where the mask follows from `seed` and `offset` (`kernels.dropout`)."""

    saves_inputs = False

    def __init__(self, problem: dropout.DropoutProblem, seed: int, offset: int) -> None:
        self.problem, self.seed, self.offset = problem, seed, offset

    def forward(self, x: Array) -> Array:
        return dropout.forward(self.problem, x, self.seed, self.offset)

    def backward(self, gradient: Tensor) -> Tensor:
        return apply(Dropout(self.problem, self.seed, self.offset), gradient)
