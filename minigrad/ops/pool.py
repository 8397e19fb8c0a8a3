"""Pooling. Average pooling is linear; so is max pooling, once the places of the maxima are known."""

from __future__ import annotations

from ..autograd import Function, apply
from ..kernels import pool2d
from ..kernels.arrays import Array
from ..kernels.registry import Operation
from ..tensor import Tensor


class MaxPool2d(Function):
    """The largest element of each window; keeps the places of the maxima, not the input."""

    saves_inputs = False

    def __init__(self, problem: pool2d.Pool2dProblem) -> None:
        self.problem = problem

    def forward(self, x: Array) -> Array:
        y, self.indices = pool2d.max_forward(self.problem, x)
        return y

    def backward(self, gradient: Tensor) -> Tensor:
        return apply(_MaxPlaces(self.problem, self.indices, pool2d.max_input_gradient), gradient)


class MaxPool2dValues(Function):
    """`MaxPool2d` for where no gradient is wanted: nobody looks for the places of the maxima.

    Where a kernel of `max_forward` was asked for by name, and none of `max_values`, it is the one that runs.
    """

    differentiable = False

    def __init__(self, problem: pool2d.Pool2dProblem) -> None:
        self.problem = problem

    def forward(self, x: Array) -> Array:
        if pool2d.max_forward.asked_for() and not pool2d.max_values.asked_for():
            return pool2d.max_forward(self.problem, x)[0]
        return pool2d.max_values(self.problem, x)


class _MaxPlaces(Function):
    """Gradients handed to the places of the maxima, or elements gathered from them: each other's derivatives."""

    saves_inputs = False

    def __init__(self, problem: pool2d.Pool2dProblem, indices: Array, operation: Operation) -> None:
        self.problem, self.indices, self.operation = problem, indices, operation
        self.name = operation.name

    def forward(self, x: Array) -> Array:
        return self.operation(self.problem, x, self.indices)

    def backward(self, gradient: Tensor) -> Tensor:
        back = pool2d.max_gather if self.operation is pool2d.max_input_gradient else pool2d.max_input_gradient
        return apply(_MaxPlaces(self.problem, self.indices, back), gradient)


class AveragePool2d(Function):
    """Window means and the spreading of gradients over windows: each other's derivatives.

    `operation` computes this Function, `back` its derivative.
    """

    saves_inputs = False

    def __init__(
        self,
        problem: pool2d.Pool2dProblem | pool2d.AdaptiveAveragePool2dProblem,
        operation: Operation,
        back: Operation,
    ) -> None:
        self.problem, self.operation, self.back = problem, operation, back
        self.name = operation.name

    def forward(self, x: Array) -> Array:
        return self.operation(self.problem, x)

    def backward(self, gradient: Tensor) -> Tensor:
        return apply(AveragePool2d(self.problem, self.back, self.operation), gradient)
