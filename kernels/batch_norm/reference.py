"""The definition of right: the paper's formulas on whole arrays."""

from __future__ import annotations

from ..arrays import Array, array_module
from . import backward_training, forward_evaluation, forward_training, move_statistics
from .problem import BatchNormProblem


def _by_channel(array: Array) -> Array:
    """(C,) as (C, 1, 1), to meet (N, C, H, W)."""
    return array.reshape(-1, 1, 1)


def _affine(problem: BatchNormProblem, x: Array, mean: Array, scale: Array, bias: Array) -> Array:
    y = (x - _by_channel(mean)) * _by_channel(scale) + _by_channel(bias)
    return (array_module(x).maximum(y, 0) if problem.relu else y).astype(x.dtype, copy=False)


def refuses_empty(problem: BatchNormProblem) -> str | None:
    """Statistics need values."""
    return None if problem.count else f"an empty batch of shape {problem.shape} has no mean and variance"


@forward_training.variant("reference", device="any", refuses=refuses_empty)
def forward_training_reference(
    problem: BatchNormProblem, x: Array, weight: Array, bias: Array
) -> tuple[Array, Array, Array, Array]:
    xp = array_module(x)
    axes, dtype = (0, 2, 3), problem.statistics_dtype
    mean = x.mean(axes, dtype=xp.float64)
    # From the centred values: the mean of squares less the squared mean would cancel where the mean is large.
    variance = ((x - _by_channel(mean)) ** 2).mean(axes, dtype=xp.float64)
    inverse_std = (1 / xp.sqrt(variance + problem.epsilon)).astype(dtype)
    mean = mean.astype(dtype)
    y = _affine(problem, x, mean, weight * inverse_std, bias)
    return y, mean, variance.astype(dtype), inverse_std


@forward_evaluation.variant("reference", device="any")
def forward_evaluation_reference(
    problem: BatchNormProblem, x: Array, weight: Array, bias: Array, mean: Array, variance: Array
) -> Array:
    scale = weight / array_module(x).sqrt(variance + variance.dtype.type(problem.epsilon))
    return _affine(problem, x, mean, scale, bias)


@backward_training.variant("reference", device="any", refuses=refuses_empty)
def backward_training_reference(
    problem: BatchNormProblem,
    gy: Array,
    x: Array,
    weight: Array,
    bias: Array,
    mean: Array,
    inverse_std: Array,
) -> tuple[Array, Array, Array]:
    xp = array_module(x)
    scale, dtype = weight * inverse_std, problem.statistics_dtype
    if problem.relu:
        gy = xp.where(_affine(problem, x, mean, scale, bias) <= 0, gy.dtype.type(0), gy)
    normalised = (x - _by_channel(mean)) * _by_channel(inverse_std)
    gbias = gy.sum((0, 2, 3), dtype=xp.float64).astype(dtype)
    gweight = (gy * normalised).sum((0, 2, 3), dtype=xp.float64).astype(dtype)
    through_statistics = (_by_channel(gbias) + normalised * _by_channel(gweight)) / gbias.dtype.type(problem.count)
    gx = _by_channel(scale) * (gy - through_statistics)
    return gx.astype(x.dtype, copy=False), gweight, gbias


def refuses_one_value(problem: BatchNormProblem) -> str | None:
    """The unbiased variance needs two."""
    return None if problem.count > 1 else f"a channel of one value, in {problem.shape}, has no unbiased variance"


@move_statistics.variant("reference", device="any", refuses=refuses_one_value)
def move_statistics_reference(
    problem: BatchNormProblem,
    running_mean: Array,
    running_variance: Array,
    mean: Array,
    variance: Array,
    momentum: float | Array,
) -> None:
    for running, batch in (
        (running_mean, mean),
        (running_variance, variance * (problem.count / (problem.count - 1))),
    ):
        running *= 1.0 - momentum
        running += momentum * batch
