"""Softmax and the losses that kernels compute."""

from __future__ import annotations

from collections.abc import Sequence

from ..autograd import Function, apply
from ..kernels import cross_entropy
from ..kernels.arrays import Array, array_module
from ..tensor import Tensor
from .elementwise import exp, where
from .fused import Fused
from .indexing import take_along_axis


def _largest(x: Array, axis: int) -> Array:
    """The largest element along `axis`, which is kept; of no elements, zeros."""
    if x.shape[axis] == 0:
        return array_module(x).zeros((*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.dtype)
    return x.max(axis=axis, keepdims=True)


class Softmax(Function):
    """exp(x) / sum of exp(x) along one axis, without overflow."""

    saves_inputs, saves_output = False, True

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        e = xp.exp(x - _largest(x, self.axis))
        return e / e.sum(axis=self.axis, keepdims=True)

    def backward(self, gradient: Tensor) -> Tensor:
        y = self.output
        return y * (gradient - (gradient * y).sum(self.axis, keepdims=True))


class LogSoftmax(Function):
    """x - log(sum of exp(x)) along one axis, without overflow."""

    saves_inputs, saves_output = False, True

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        shifted = x - _largest(x, self.axis)
        return shifted - xp.log(xp.exp(shifted).sum(axis=self.axis, keepdims=True))

    def backward(self, gradient: Tensor) -> Tensor:
        return gradient - exp(self.output) * gradient.sum(self.axis, keepdims=True)


class CrossEntropy(Fused):
    """The loss of each row of logits (R, C) for class indices (R,); contract in `kernels.cross_entropy`."""

    def __init__(self, problem: cross_entropy.CrossEntropyProblem) -> None:
        self.problem = problem

    def forward(self, logits: Array, targets: Array) -> Array:
        return cross_entropy.forward(self.problem, logits, targets)

    def kernel_gradients(self, gradient: Array) -> Sequence[Array | None]:
        logits, targets = self.inputs
        return [cross_entropy.input_gradient(self.problem, gradient, logits.data, targets.data), None]

    def formula(self, *inputs: Tensor) -> Tensor:
        logits, targets = inputs
        return cross_entropy_formula(logits, targets, self.problem.label_smoothing, self.problem.ignore_index)


def cross_entropy_formula(
    logits: Tensor,
    targets: Tensor,
    label_smoothing: float,
    ignore_index: int,
    weight: Tensor | None = None,
) -> Tensor:
    """The losses (R,) in Tensor operations, with class weights (C,) if given.

    Row r counts weight[target[r]] times, the smoothed part of class c weight[c] times.
    """
    losses = -apply(LogSoftmax(1), logits)
    if weight is not None:
        losses = losses * weight
    ignored = targets == ignore_index
    chosen = take_along_axis(losses, where(ignored, 0, targets).reshape(-1, 1), 1).squeeze(1)
    spread = losses.sum(1) * (label_smoothing / logits.shape[1])
    return where(ignored, 0.0, chosen * (1.0 - label_smoothing) + spread)
