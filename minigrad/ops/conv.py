"""Convolution and its two gradients: three bilinear operations, each the derivative of the others."""

from __future__ import annotations

from ..autograd import Function, apply
from ..kernels import conv2d
from ..kernels.arrays import Array, array_module, device_of
from ..kernels.cpu.recording import again
from ..kernels.into import knows
from ..kernels.registry import Operation
from ..kernels.variant import Variant
from ..places import Place
from ..tensor import Tensor


class Moments:
    """Mean and (biased) variance of each channel, raw arrays (K,), once whoever makes the channels knows them."""

    def __init__(self, arrays: tuple[Array, Array] | None = None) -> None:
        self.arrays = arrays

    def of(self, start: int, stop: int) -> Moments:
        """Those of some of the channels."""
        return Moments(None if self.arrays is None else (self.arrays[0][start:stop], self.arrays[1][start:stop]))


class Conv2d(Function):
    """y[n,k] = bias[k] + sum over c of x[n,c] correlated with weight[k,c]; shapes in `kernels.conv2d`.

    `moments`, if given, gets those of y where the kernel that runs can find them on its way.
    """

    multilinear = True

    def __init__(self, problem: conv2d.Conv2dProblem, moments: Moments | None = None) -> None:
        self.problem, self.moments = problem, moments

    def forward(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        moments, self.moments = self.moments, None
        if moments is not None:
            chosen = conv2d.forward.select(self.problem, device_of(x))
            namesake = _namesake(conv2d.forward_statistics, chosen, self.problem, device_of(x))
            if namesake is not None and namesake.device != "any":  # the definition takes a pass of its own
                y, *found = namesake(self.problem, x, weight, bias)
                moments.arrays = found[0], found[1]
                return y
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

    Where the chosen kernel of the convolution cannot do it, ReLU is a pass of its own. `place` says where the
    result is best written.
    """

    differentiable = False

    def __init__(self, problem: conv2d.Conv2dProblem, place: Place | None = None) -> None:
        self.problem, self.place = problem, place

    def forward(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        if conv2d.forward_relu.asked_for() and not conv2d.forward.asked_for():
            return conv2d.forward_relu(self.problem, x, weight, bias)
        chosen = conv2d.forward.select(self.problem, device_of(x))
        namesake = _namesake(conv2d.forward_relu, chosen, self.problem, device_of(x))
        variant = chosen if namesake is None else namesake
        if self.place is None or not knows(variant.function, "out"):
            y = variant(self.problem, x, weight, bias)
        else:
            out = self.place.array(self.problem.output_shape, x)
            y = variant(self.problem, x, weight, bias, out=out)
            self.shared_readers = None if out is None else self.place.readers
        if namesake is None:
            again(lambda: array_module(y).maximum(y, 0, out=y))
        return y


def _namesake(operation: Operation, chosen: Variant, problem: conv2d.Conv2dProblem, device: str) -> Variant | None:
    """The variant of the same name of a related operation, if it can run the problem, too."""
    variant = operation.variants.get(chosen.name)
    return variant if variant is not None and variant.obstacle(problem, device) is None else None


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
