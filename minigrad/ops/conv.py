"""Convolution and its two gradients: three bilinear operations, each the derivative of the others."""

from __future__ import annotations

from ..autograd import Function, apply
from ..kernels import conv2d
from ..kernels.arrays import Array, array_module, device_of
from ..tensor import Tensor


class Conv2d(Function):
    """y[n,k] = bias[k] + sum over c of x[n,c] correlated with weight[k,c]; shapes in `kernels.conv2d`."""

    multilinear = True

    def __init__(self, problem: conv2d.Conv2dProblem) -> None:
        self.problem = problem

    def forward(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        return conv2d.forward(self.problem, x, weight, bias)

    def backward(self, gradient: Tensor) -> list[Tensor | None]:
        x, weight, *bias = self.inputs
        needs = self.needs_gradient
        return [
            apply(Conv2dInputGradient(self.problem), gradient, weight) if needs[0] else None,
            apply(Conv2dWeightGradient(self.problem), x, gradient) if needs[1] else None,
            *(gradient.sum((0, 2, 3)) if needs[2] else None for _ in bias),
        ]


class Conv2dReLU(Function):
    """max(0, y) of `Conv2d` in one pass over memory, for where no gradient is wanted.

    Where the chosen kernel of the convolution cannot do it, ReLU is a pass of its own.
    """

    differentiable = False

    def __init__(self, problem: conv2d.Conv2dProblem) -> None:
        self.problem = problem

    def forward(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        if conv2d.forward_relu.asked_for() and not conv2d.forward.asked_for():
            return conv2d.forward_relu(self.problem, x, weight, bias)
        device = device_of(x)
        chosen = conv2d.forward.select(self.problem, device)
        namesake = conv2d.forward_relu.variants.get(chosen.name)
        if namesake is not None and namesake.obstacle(self.problem, device) is None:
            return namesake.function(self.problem, x, weight, bias)
        y = chosen.function(self.problem, x, weight, bias)
        return array_module(y).maximum(y, 0, out=y)


class Conv2dInputGradient(Function):
    """gx from gy and the weight; as a forward operation, the transposed convolution."""

    multilinear = True

    def __init__(self, problem: conv2d.Conv2dProblem) -> None:
        self.problem = problem

    def forward(self, gy: Array, weight: Array) -> Array:
        return conv2d.input_gradient(self.problem, gy, weight)

    def backward(self, gradient: Tensor) -> list[Tensor | None]:
        gy, weight = self.inputs
        return [
            apply(Conv2d(self.problem), gradient, weight) if self.needs_gradient[0] else None,
            apply(Conv2dWeightGradient(self.problem), gradient, gy) if self.needs_gradient[1] else None,
        ]


class Conv2dWeightGradient(Function):
    """gweight from x and gy."""

    multilinear = True

    def __init__(self, problem: conv2d.Conv2dProblem) -> None:
        self.problem = problem

    def forward(self, x: Array, gy: Array) -> Array:
        return conv2d.weight_gradient(self.problem, x, gy)

    def backward(self, gradient: Tensor) -> list[Tensor | None]:
        x, gy = self.inputs
        return [
            apply(Conv2dInputGradient(self.problem), gy, gradient) if self.needs_gradient[0] else None,
            apply(Conv2d(self.problem), x, gradient) if self.needs_gradient[1] else None,
        ]
