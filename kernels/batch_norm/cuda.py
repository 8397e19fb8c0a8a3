"""Batch normalisation on CUDA: the launches of batch_norm.cu, which says how the kernels work.

- `reference` makes a temporary array a formula step;
- `rows` makes none: forward is a pass for the statistics and one for y, backward one for the sums and one for
  gx, 16 bytes a thread where channels and alignment allow it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..cuda.buffers import channels_last, contiguous, empty, empty_channels_last, pixel_distance, vector_width
from ..cuda.dtypes import REAL, of_no_use, refuses_other_dtypes
from ..cuda.launch import CudaKernel, CudaSource
from . import backward_training, forward_evaluation, forward_training, move, move_statistics
from .problem import BatchNormProblem, Running
from .reference import move_statistics_reference, refuses_empty, refuses_one_value

MOST_THREADS = 256
MOST_BLOCKS = 1024  # several for each multiprocessor of the largest GPUs, and few enough to merge their sums
PIXELS_A_THREAD = 8  # at least, before another block is worth its sums
FINISHING_BLOCK = 32, 8  # channels and rows

SOURCE = CudaSource(
    "batch_norm/batch_norm.cu",
    REAL=tuple(REAL.values()),
    VECTOR=("1", "2", "4", "8"),
    unless=of_no_use,
)


def refuses_evaluation(problem: BatchNormProblem) -> str | None:
    if obstacle := refuses_other_dtypes(problem):
        return obstacle
    return "it counts pixels in 32 bits" if problem.count >= 2**31 else None


def refuses_training(problem: BatchNormProblem) -> str | None:
    return refuses_empty(problem) or refuses_evaluation(problem)


class _Plan(NamedTuple):
    """How channels and pixels are dealt out; it depends on shapes alone, so that sums do not on the GPU."""

    vector: int
    grid: tuple[int, int]  # tiles of channels, segments of pixels
    block: tuple[int, int]

    def kernel(self, name: str, problem: BatchNormProblem) -> CudaKernel:
        return SOURCE.kernel(name, REAL=REAL[problem.dtype], VECTOR=self.vector)

    @property
    def shared_elements(self) -> int:
        return self.block[0] * self.block[1] * self.vector


def _plan(problem: BatchNormProblem, *arrays: Array) -> _Plan:
    channels = problem.shape[1]
    vector = vector_width(channels, *arrays)
    tiles = -(-channels // (32 * vector))
    across = -(-channels // (tiles * vector))
    rows = 1 << (MOST_THREADS // across).bit_length() - 1  # a power of two
    segments = min(max(1, MOST_BLOCKS // tiles), -(-problem.count // (rows * PIXELS_A_THREAD)))
    return _Plan(vector, (tiles, segments), (across, rows))


def _number(problem: BatchNormProblem) -> type[np.floating]:
    """The type of everything by channel."""
    return np.float64 if problem.statistics_dtype == "float64" else np.float32


def _floor(problem: BatchNormProblem) -> np.floating:
    return _number(problem)(0 if problem.relu else -np.inf)


def _distance(array: Array) -> np.int32:
    return np.int32(pixel_distance(array))


def _sizes(problem: BatchNormProblem) -> tuple[np.int32, np.int32]:
    return np.int32(problem.count), np.int32(problem.shape[1])


@forward_training.variant("rows", device="cuda", priority=10, refuses=refuses_training)
def forward_training_rows(
    problem: BatchNormProblem,
    x: Array,
    weight: Array,
    bias: Array,
    moments: tuple[Array, Array] | None = None,
    running: Running | None = None,
    out: Array | None = None,
) -> tuple[Array, Array, Array, Array]:
    x = channels_last(x)
    y = empty_channels_last(problem.shape, x.dtype, like=x) if out is None else out
    plan = _plan(problem, x, y)
    rows = x, _distance(x), *_sizes(problem)
    mean, variance = _statistics(problem, plan, rows) if moments is None else moments
    inverse_std = empty((problem.shape[1],), _number(problem), like=x)
    in_passing = running is not None and _fits(problem, running.mean, running.variance)
    moved: tuple[Any, ...] = (None, None, None, None, np.float64(0), np.float64(0))
    if running is not None and in_passing:
        moved = running.mean, running.variance, running.batches, *_momentum(problem, running.momentum)
    constants = np.float64(problem.epsilon), _floor(problem)
    plan.kernel("normalise_rows", problem)(
        *(plan.grid, plan.block, *rows, mean, variance, contiguous(weight), contiguous(bias), *constants),
        *(y, _distance(y), inverse_std, *moved),
    )
    if running is not None and not in_passing:
        move(problem, running, mean, variance)
    return y, mean, variance, inverse_std


def _fits(problem: BatchNormProblem, *arrays: Array) -> bool:
    """Whether the kernels can move these statistics, not those of a model that is of 16 bits."""
    return all(array.dtype == problem.statistics_dtype and array.flags.c_contiguous for array in arrays)


def _momentum(problem: BatchNormProblem, momentum: float | Array) -> tuple[Array | None, np.float64, np.float64]:
    """`Momentum` of batch_norm.cu."""
    unbiased = np.float64(problem.count / max(1, problem.count - 1))
    in_memory = hasattr(momentum, "strides")
    return (momentum, np.float64(0), unbiased) if in_memory else (None, np.float64(momentum), unbiased)


def _statistics(problem: BatchNormProblem, plan: _Plan, rows: tuple[Any, ...]) -> tuple[Array, Array]:
    """Mean and variance of each channel, in a pass over `rows`."""
    x, channels, number = rows[0], problem.shape[1], _number(problem)
    partial = empty((plan.grid[1], channels, 2), number, like=x)
    plan.kernel("moments", problem)(
        plan.grid, plan.block, *rows, partial, shared_bytes=plan.shared_elements * 3 * partial.itemsize
    )
    mean, variance = empty((channels,), number, like=x), empty((channels,), number, like=x)
    plan.kernel("finish_moments", problem)(
        _finishing_grid(channels),
        FINISHING_BLOCK,
        *(partial, np.int32(plan.grid[1]), x, *_sizes(problem), mean, variance),
    )
    return mean, variance


@forward_evaluation.variant("rows", device="cuda", priority=10, refuses=refuses_evaluation)
def forward_evaluation_rows(
    problem: BatchNormProblem,
    x: Array,
    weight: Array,
    bias: Array,
    mean: Array,
    variance: Array,
    out: Array | None = None,
) -> Array:
    x = channels_last(x)
    y = empty_channels_last(problem.shape, x.dtype, like=x) if out is None else out
    plan = _plan(problem, x, y)
    rows = x, _distance(x), *_sizes(problem)
    by_channel = [contiguous(array) for array in (mean, variance, weight, bias)]
    constants = np.float64(problem.epsilon), _floor(problem)
    plan.kernel("evaluate_rows", problem)(plan.grid, plan.block, *rows, *by_channel, *constants, y, _distance(y))
    return y


@backward_training.variant("rows", device="cuda", priority=10, refuses=refuses_training)
def backward_training_rows(
    problem: BatchNormProblem,
    gy: Array,
    x: Array,
    weight: Array,
    bias: Array,
    mean: Array,
    inverse_std: Array,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    channels, number = problem.shape[1], _number(problem)
    gy, x = channels_last(gy), channels_last(x)
    gx = empty_channels_last(problem.shape, gy.dtype, like=gy) if out is None else out
    plan = _plan(problem, gy, x, gx)
    rows = gy, _distance(gy), x, _distance(x), *_sizes(problem)
    by_channel = [contiguous(array) for array in (mean, inverse_std, weight, bias)]
    partial = empty((plan.grid[1], channels, 2), number, like=x)
    plan.kernel("gradient_sums", problem)(
        plan.grid,
        plan.block,
        *(*rows, *by_channel, _floor(problem), partial),
        shared_bytes=plan.shared_elements * 2 * partial.itemsize,
    )
    gweight, gbias = empty((channels,), number, like=x), empty((channels,), number, like=x)
    plan.kernel("finish_gradient_sums", problem)(
        _finishing_grid(channels),
        FINISHING_BLOCK,
        *(partial, np.int32(plan.grid[1]), np.int32(channels), by_channel[1], gweight, gbias),
    )
    plan.kernel("input_gradient", problem)(
        plan.grid, plan.block, *rows, *by_channel, _floor(problem), gweight, gbias, gx, _distance(gx)
    )
    return gx, gweight, gbias


def _finishing_grid(channels: int) -> tuple[int]:
    return (-(-channels // FINISHING_BLOCK[0]),)


def refuses_moving(problem: BatchNormProblem) -> str | None:
    return refuses_one_value(problem) or refuses_evaluation(problem)


@move_statistics.variant("rows", device="cuda", priority=10, refuses=refuses_moving)
def move_statistics_rows(
    problem: BatchNormProblem,
    running_mean: Array,
    running_variance: Array,
    mean: Array,
    variance: Array,
    momentum: float | Array,
) -> None:
    arrays = running_mean, running_variance, mean, variance
    if not _fits(problem, *arrays):
        move_statistics_reference(problem, *arrays, momentum)
        return
    channels = problem.shape[1]
    launch = SOURCE.kernel("move_statistics", REAL=REAL[problem.dtype], VECTOR=1)
    launch(
        (-(-channels // MOST_THREADS),),
        (MOST_THREADS,),
        *(*arrays, np.int32(channels), *_momentum(problem, momentum)),
    )
