"""The definition of right: one parameter after the other, the formulas as they are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import repeat

from ..arrays import Array, array_module
from . import adam, average, control, rmsprop, sgd, squared_norm
from .problem import AdamProblem, AverageProblem, ControlProblem, RmspropProblem, SgdProblem, SquaredNormProblem

Arrays = Sequence[Array]


def is_finite(factor: Array | None) -> bool:
    """Whether gradients that are to be multiplied by `factor` are to be followed at all."""
    return factor is None or math.isfinite(factor)


def _direction(
    problem: SgdProblem | AdamProblem | RmspropProblem, p: Array, g: Array, factor: Array | None
) -> Array:
    """The gradient to descend along, coupled weight decay included."""
    g = g if factor is None else g * float(factor)
    g = -g if problem.maximize else g
    decoupled = isinstance(problem, AdamProblem) and problem.decoupled
    return g if decoupled or not problem.weight_decay else g + problem.weight_decay * p


@sgd.variant("reference", device="any")
def sgd_reference(
    problem: SgdProblem,
    parameters: Arrays,
    gradients: Arrays,
    momenta: Arrays,
    learning_rate: float,
    steps: Sequence[int],
    factor: Array | None = None,
) -> None:
    if not is_finite(factor):
        return
    momentum, learning_rate = problem.momentum, float(learning_rate)
    for p, g, buffer, step in zip(parameters, gradients, momenta or repeat(None), steps, strict=False):
        g = _direction(problem, p, g, factor)
        if momentum:
            buffer[...] = g if step == 1 else momentum * buffer + (1 - problem.dampening) * g
            g = g + momentum * buffer if problem.nesterov else buffer
        p -= learning_rate * g


@adam.variant("reference", device="any")
def adam_reference(
    problem: AdamProblem,
    parameters: Arrays,
    gradients: Arrays,
    first_moments: Arrays,
    second_moments: Arrays,
    learning_rate: float,
    steps: Sequence[int],
    factor: Array | None = None,
) -> None:
    if not is_finite(factor):
        return
    (b1, b2), learning_rate = problem.betas, float(learning_rate)
    for p, g, m, v, step in zip(parameters, gradients, first_moments, second_moments, steps, strict=True):
        g = _direction(problem, p, g, factor)
        if problem.decoupled:
            p *= 1 - learning_rate * problem.weight_decay
        step = int(step)
        m[...] = b1 * m + (1 - b1) * g
        v[...] = b2 * v + (1 - b2) * g * g
        standard = array_module(v).sqrt(v / (1 - b2**step)) + problem.epsilon
        p -= learning_rate * (m / (1 - b1**step)) / standard


@rmsprop.variant("reference", device="any")
def rmsprop_reference(
    problem: RmspropProblem,
    parameters: Arrays,
    gradients: Arrays,
    square_averages: Arrays,
    momenta: Arrays,
    gradient_averages: Arrays,
    learning_rate: float,
    factor: Array | None = None,
) -> None:
    if not is_finite(factor):
        return
    alpha, learning_rate = problem.alpha, float(learning_rate)
    state = zip(square_averages, momenta or repeat(None), gradient_averages or repeat(None), strict=False)
    for p, g, (v, buffer, mean) in zip(parameters, gradients, state, strict=True):
        g = _direction(problem, p, g, factor)
        v[...] = alpha * v + (1 - alpha) * g * g
        variance = v
        if problem.centered:
            mean[...] = alpha * mean + (1 - alpha) * g
            variance = v - mean * mean
        g = g / (array_module(v).sqrt(variance) + problem.epsilon)
        if problem.momentum:
            buffer[...] = problem.momentum * buffer + g
            g = buffer
        p -= learning_rate * g


@squared_norm.variant("reference", device="any")
def squared_norm_reference(problem: SquaredNormProblem, gradients: Arrays) -> Array:
    return sum(array_module(g).square(g, dtype="float64").sum() for g in gradients)


@average.variant("reference", device="any")
def average_reference(problem: AverageProblem, averages: Arrays, values: Arrays, share: float | Array) -> None:
    share = float(share)
    if not math.isfinite(share):
        return
    for mean, value in zip(averages, values, strict=True):
        if share == 1.0:
            mean[...] = value
        else:
            mean += share * (value - mean)


@control.variant("reference", device="any")
def control_reference(
    problem: ControlProblem, norm: Array, loss: Array, state: Array, steps: Array, moving: Array
) -> None:
    scale, good, _, stopped, seen, _ = (float(number) for number in state)
    total = math.sqrt(norm) / scale
    factor = share = math.nan
    if stopped or not math.isfinite(loss):
        stopped = 1.0
    elif not math.isfinite(total):
        if problem.grows_after and scale > problem.smallest:
            scale, good = scale / 2, 0.0
        else:
            stopped = 1.0
    else:
        factor = min(1.0, problem.max_norm / (total + 1e-6)) / scale
        steps += moving
        good, seen = good + 1, seen + 1
        share = 1.0 if seen == 1 else 1 / seen if problem.share is None else problem.share
        if problem.grows_after and good >= problem.grows_after:
            scale, good = min(problem.largest, 2 * scale), 0.0
    for i, number in enumerate((scale, good, factor, stopped, seen, share)):
        state[i] = number
