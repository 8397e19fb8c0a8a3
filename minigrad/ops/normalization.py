"""Batch normalisation and local response normalisation."""

from __future__ import annotations

from collections.abc import Sequence

from ..kernels import batch_norm, local_response_norm
from ..kernels.arrays import Array
from ..kernels.into import supported
from ..places import Place
from ..tensor import Tensor
from .elementwise import of_dtype, relu, sqrt
from .fused import Fused
from .parts import place_of_gradient
from .reductions import mean, var
from .shape import pad


def _affine(
    problem: batch_norm.BatchNormProblem, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    shape = (1, -1, 1, 1)
    x = of_dtype(x, problem.statistics_dtype)
    normal = (x - mean.reshape(shape)) / sqrt(variance.reshape(shape) + problem.epsilon)
    y = normal * weight.reshape(shape) + bias.reshape(shape)
    return of_dtype(relu(y) if problem.relu else y, problem.dtype)


class BatchNormTraining(Fused):
    """Normalisation by the statistics of the batch, optionally with ReLU; contract in `kernels.batch_norm`.

    After `forward`, `mean`, `variance` (biased) and `inverse_std` are the batch's statistics (C,), raw arrays.
    `moments` are mean and variance, if they are known before; `place` says where the result is best written;
    `running` are statistics that are to move towards the batch's.
    """

    def __init__(
        self,
        problem: batch_norm.BatchNormProblem,
        moments: tuple[Array, Array] | None = None,
        place: Place | None = None,
        running: batch_norm.Running | None = None,
    ) -> None:
        self.problem, self.moments, self.place, self.running = problem, moments, place, running

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        operation, problem, place = batch_norm.forward_training, self.problem, self.place
        out = None if place is None else place.array(problem.shape, x)
        options = supported(operation, problem, x, moments=self.moments, running=self.running, out=out)
        y, self.mean, self.variance, self.inverse_std = operation(problem, x, weight, bias, **options)
        if place is not None and "out" in options:
            self.shared_readers = place.readers
        if self.running is not None and "running" not in options:
            batch_norm.move(problem, self.running, self.mean, self.variance)
        self.moments = self.place = self.running = None
        return y

    def kernel_gradients(self, gradient: Array) -> Sequence[Array]:
        arrays = (x.data for x in self.inputs)
        out = place_of_gradient(self.edges[0], self.problem.shape, gradient)
        options = supported(batch_norm.backward_training, self.problem, gradient, out=out)
        return batch_norm.backward_training(
            self.problem, gradient, *arrays, self.mean, self.inverse_std, **options
        )

    def formula(self, *inputs: Tensor) -> Tensor:
        x, weight, bias = inputs
        axes, wide = (0, 2, 3), of_dtype(x, self.problem.statistics_dtype)
        return _affine(self.problem, wide, weight, bias, mean(wide, axes), var(wide, axes))


class BatchNormEvaluation(Fused):
    """Normalisation by given statistics: one multiply-add an element, optionally with ReLU."""

    has_kernel = False

    def __init__(self, problem: batch_norm.BatchNormProblem) -> None:
        self.problem = problem

    def forward(self, x: Array, weight: Array, bias: Array, mean: Array, variance: Array) -> Array:
        return batch_norm.forward_evaluation(self.problem, x, weight, bias, mean, variance)

    def formula(self, *inputs: Tensor) -> Tensor:
        return _affine(self.problem, *inputs)


class LocalResponseNorm(Fused):
    """x[c] * (k + alpha / size * sum of x**2 over `size` channels around c) ** -beta."""

    def __init__(self, problem: local_response_norm.LocalResponseNormProblem) -> None:
        self.problem = problem

    def forward(self, x: Array) -> Array:
        return local_response_norm.forward(self.problem, x)

    def kernel_gradients(self, gradient: Array) -> Sequence[Array]:
        return [local_response_norm.input_gradient(self.problem, gradient, self.inputs[0].data)]

    def formula(self, *inputs: Tensor) -> Tensor:
        (x,), size = inputs, self.problem.size
        around = pad(x * x, ((0, 0), (size // 2, (size - 1) // 2), (0, 0), (0, 0)))
        channels = x.shape[1]
        total = around[:, :channels]
        for i in range(1, size):
            total = total + around[:, i : i + channels]
        return x * (total * (self.problem.alpha / size) + self.problem.k) ** -self.problem.beta
