"""Batch normalisation: in training, in evaluation, its gradient, and the running statistics."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis.strategies import booleans, builds, just

from minigrad.kernels import batch_norm
from minigrad.kernels.batch_norm import BatchNormProblem
from minigrad.kernels.batch_norm.reference import refuses_one_value
from minigrad.ops.normalization import BatchNormTraining

from .contract import Arguments, Call, Contract, Outputs, per_element, run_by, without_batch
from .drawing import Generator, draw_input, normal, uniform
from .sizes import images

# How far from zero the outputs are kept where a gradient depends on their sign: a result that is zero but for
# rounding may rightly fall on either side, and its gradient then counts or does not.
MARGINS = {"float16": 1e-2, "bfloat16": 0.1}


def _draw_training(problem: BatchNormProblem, generator: Generator) -> Arguments:
    channels, dtype = (problem.shape[1],), problem.statistics_dtype
    return {
        **draw_input(problem, generator),
        "weight": uniform(generator, 0.5, 1.5, channels, dtype),
        "bias": uniform(generator, -0.5, 0.5, channels, dtype),
    }


def _draw_evaluation(problem: BatchNormProblem, generator: Generator) -> Arguments:
    channels, dtype = (problem.shape[1],), problem.statistics_dtype
    return {
        **_draw_training(problem, generator),
        "mean": uniform(generator, -0.5, 0.5, channels, dtype),
        "variance": uniform(generator, 0.5, 1.5, channels, dtype),
    }


def _draw_gradient(problem: BatchNormProblem, generator: Generator) -> Arguments:
    arguments = _draw_training(problem, generator)
    x, dtype = arguments["x"].astype(np.float64), problem.statistics_dtype
    mean = x.mean((0, 2, 3)).astype(dtype)
    inverse_std = (1 / np.sqrt(x.var((0, 2, 3)) + problem.epsilon)).astype(dtype)
    if problem.relu:
        mean_, scale, bias = (
            array.astype(np.float64).reshape(-1, 1, 1)
            for array in (mean, arguments["weight"] * inverse_std, arguments["bias"])
        )
        y = (x - mean_) * scale + bias
        margin = MARGINS.get(problem.dtype, 1e-3)
        moved = (np.copysign(2 * margin, y) - bias) / scale + mean_
        arguments["x"] = np.where(np.abs(y) < margin, moved, x).astype(np.dtype(problem.dtype))
    gy = normal(generator, problem.shape, problem.dtype)
    return {"gy": gy, **arguments, "mean": mean, "inverse_std": inverse_std}


def _draw_moving(problem: BatchNormProblem, generator: Generator) -> Arguments:
    channels, dtype = (problem.shape[1],), problem.statistics_dtype
    means = {name: normal(generator, channels, dtype) for name in ("running_mean", "mean")}
    variances = {name: uniform(generator, 0.5, 1.5, channels, dtype) for name in ("running_variance", "variance")}
    drawn = means | variances
    names = "running_mean", "running_variance", "mean", "variance"
    return {**{name: drawn[name] for name in names}, "momentum": float(generator.uniform(0.05, 0.5))}


def _outputs(names: str) -> Callable[[BatchNormProblem], Outputs]:
    first, *others = names.split()

    def outputs(problem: BatchNormProblem) -> Outputs:
        by_channel = ((problem.shape[1],), problem.statistics_dtype)
        return {first: (problem.shape, problem.dtype), **dict.fromkeys(others, by_channel)}

    return outputs


def _running(problem: BatchNormProblem) -> Outputs:
    by_channel = ((problem.shape[1],), problem.statistics_dtype)
    return {"running_mean": by_channel, "running_variance": by_channel}


def _describe(problem: BatchNormProblem) -> str:
    return without_batch(problem) + (", relu" if problem.relu else "")


def _torch_training(torch: Any, p: BatchNormProblem, a: Arguments) -> Call:
    def call() -> Any:
        y, *rest = torch.native_batch_norm(a["x"], a["weight"], a["bias"], None, None, True, 0.1, p.epsilon)
        return torch.relu_(y) if p.relu else y, rest

    return call


def _torch_evaluation(torch: Any, p: BatchNormProblem, a: Arguments) -> Call:
    def call() -> Any:
        y = torch.nn.functional.batch_norm(
            a["x"], a["mean"], a["variance"], a["weight"], a["bias"], False, 0.1, p.epsilon
        )
        return torch.relu_(y) if p.relu else y

    return call


def _torch_gradient(torch: Any, p: BatchNormProblem, a: Arguments) -> Call:
    """With ReLU, its mask comes from a y that was kept, as in PyTorch's own training."""
    shape = (1, -1, 1, 1)
    y = (a["x"] - a["mean"].reshape(shape)) * (a["weight"] * a["inverse_std"]).reshape(shape)
    y = torch.relu_(y + a["bias"].reshape(shape)).to(a["x"].dtype)

    def call() -> Any:
        gy = torch.ops.aten.threshold_backward(a["gy"], y, 0) if p.relu else a["gy"]
        return torch.ops.aten.native_batch_norm_backward(
            gy, a["x"], a["weight"], None, None, a["mean"], a["inverse_std"], True, p.epsilon, [True] * 3
        )

    return call


def _torch_moving(torch: Any, p: BatchNormProblem, a: Arguments) -> Call:
    unbiased = p.count / max(1, p.count - 1)

    def call() -> None:
        a["running_mean"].lerp_(a["mean"], a["momentum"])
        a["running_variance"].lerp_(a["variance"] * unbiased, a["momentum"])

    return call


_batch_norm = functools.partial(
    Contract,
    problem=BatchNormProblem,
    odd=builds(BatchNormProblem, images(70), just(1e-3), booleans()),
    traced=run_by(BatchNormTraining),
    describe=_describe,
)

_of_training = functools.partial(_batch_norm, unfit=refuses_one_value)  # the running variance could not move

CONTRACTS = (
    _of_training(
        batch_norm.forward_training,
        inputs="x weight bias",
        draw=_draw_training,
        outputs=_outputs("y mean variance inverse_std"),
        work=per_element(6),  # mean 1, squared differences 3, scale and shift 2
        torch=_torch_training,
    ),
    _batch_norm(
        batch_norm.forward_evaluation,
        inputs="x weight bias mean variance",
        draw=_draw_evaluation,
        outputs=_outputs("y"),
        work=per_element(3),
        torch=_torch_evaluation,
    ),
    _of_training(
        batch_norm.backward_training,
        inputs="gy x weight bias mean inverse_std",
        draw=_draw_gradient,
        outputs=_outputs("gx gweight gbias"),
        work=per_element(9),  # normalised x 2, gbias 1, gweight 2, gx 4
        torch=_torch_gradient,
    ),
    _of_training(
        batch_norm.move_statistics,
        inputs="running_mean running_variance mean variance momentum",
        draw=_draw_moving,
        outputs=_running,
        work=lambda problem: 7 * problem.shape[1],  # two products and an addition each, one for the unbiased
        changes=("running_mean", "running_variance"),
        torch=_torch_moving,
    ),
)
