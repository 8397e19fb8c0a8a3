"""Images of another size."""

from __future__ import annotations

from ..autograd import Function, apply
from ..kernels import interpolate
from ..kernels.arrays import Array
from ..tensor import Tensor


class Bilinear(Function):
    """Bilinear interpolation, or the spreading of gradients over the pixels: each other's derivatives.

    The contract stands in `kernels.interpolate`; `forwards` says which of the two this Function is.
    """

    saves_inputs = False

    def __init__(self, problem: interpolate.InterpolateProblem, forwards: bool = True) -> None:
        self.problem, self.forwards = problem, forwards
        self.operation = interpolate.forward if forwards else interpolate.input_gradient
        self.name = self.operation.name

    def forward(self, x: Array) -> Array:
        return self.operation(self.problem, x)

    def backward(self, gradient: Tensor) -> Tensor:
        return apply(Bilinear(self.problem, not self.forwards), gradient)
