"""Optimiser steps on CUDA: the launches of optimizer_steps.cu, which says how the kernels work.

- `reference` makes several temporary arrays a parameter;
- `multi_tensor` reads and writes each element once, all parameters in one launch. Arrays that are not
  C-contiguous are copied first and, where they change, written back.

The table of addresses stays on the device as long as the arrays stay where they are, which is from step to step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Array, array_module
from ..cuda.buffers import address, contiguous, empty, uploaded
from ..cuda.dtypes import REAL, refuses_other_dtypes
from ..cuda.launch import CudaKernel, CudaSource
from . import adam, average, control, rmsprop, sgd, squared_norm
from .problem import AdamProblem, AverageProblem, ControlProblem, RmspropProblem, SgdProblem, SquaredNormProblem

Arrays = Sequence[Array]
THREADS = 256
CHUNK = 1 << 14  # elements of a block: enough to keep many loads under way, few enough to fill a GPU with
MOST_ARRAYS = 5  # as in the file

SOURCE = CudaSource("optimizer_steps/optimizer_steps.cu", REAL=tuple(REAL.values()))


def refuses(problem: Any) -> str | None:
    return refuses_other_dtypes(problem)


@lru_cache(maxsize=64)
def chunks(sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tensor of each chunk, its first element, and its length."""
    chunks = [
        (tensor, start, min(CHUNK, size - start))
        for tensor, size in enumerate(sizes)
        for start in range(0, size, CHUNK)
    ]
    tensors, starts, lengths = np.array(chunks, np.int64).reshape(-1, 3).T
    return tensors, starts, lengths


class _Step:
    """The arrays of one step, and the table that says where they lie."""

    def __init__(self, *lists: Arrays, steps: Sequence[Any] = ()) -> None:
        self._given = lists
        self._contiguous = [[contiguous(array) for array in arrays] for arrays in lists]
        tensors, starts, lengths = chunks(tuple(array.size for array in lists[0]))
        like = lists[0][0]
        table = np.zeros((len(tensors), MOST_ARRAYS + 2), np.int64)  # `Chunk` of optimizer_steps.cu
        for column, arrays in enumerate(self._contiguous):
            if arrays:
                table[:, column] = np.array([address(array) for array in arrays])[tensors]
                table[:, column] += starts * like.itemsize
        if _in_memory(steps):
            table[:, MOST_ARRAYS] = np.array([address(count) for count in steps])[tensors]
        table[:, MOST_ARRAYS + 1] = lengths
        self.table, self.count = uploaded(table, like), len(tensors)

    def launch(self, kernel: CudaKernel, *arguments: Any) -> None:
        arrays = [array for arrays in self._contiguous for array in arrays]
        kernel((self.count,), (THREADS,), self.table, *arguments, reaches=arrays)

    def write_back(self, *columns: int) -> None:
        """Copy what was computed on copies back to where it belongs."""
        for column in columns:
            for given, computed in zip(self._given[column], self._contiguous[column], strict=True):
                if given is not computed:
                    given[...] = computed.reshape(given.shape)


def _in_memory(steps: Sequence[Any]) -> bool:
    """Whether the counts lie on the device, where the kernel reads them."""
    return len(steps) > 0 and hasattr(steps[0], "strides")


def _rate(learning_rate: Any) -> tuple[Array | None, np.float64]:
    """The learning rate as the kernels take it: where it lies, or the number."""
    in_memory = hasattr(learning_rate, "strides")
    return (learning_rate, np.float64(0)) if in_memory else (None, np.float64(learning_rate))


def _numbers(problem: Any, *values: float) -> list[np.floating]:
    number = np.float64 if problem.dtype == "float64" else np.float32
    return [number(value) for value in values]


def _by_count(
    lists: Sequence[Arrays], steps: Sequence[Any], alike: Callable[[int], int] = lambda count: count
) -> Iterator[tuple[np.int64, _Step]]:
    """The parameters by their number of steps, all the same unless some had no gradient for a while.

    Where the numbers lie on the device, the kernel tells them apart, and all parameters come at once.
    """
    if _in_memory(steps):
        yield np.int64(0), _Step(*lists, steps=steps)
        return
    counts = [alike(count) for count in steps]
    for count in sorted(set(counts)):
        own = [[array for array, n in zip(arrays, counts, strict=True) if n == count] for arrays in lists]
        yield np.int64(count), _Step(*own)


def _sign(problem: Any) -> int:
    return -1 if problem.maximize else 1


@sgd.variant("multi_tensor", device="cuda", priority=10, refuses=refuses)
def sgd_chunks(
    problem: SgdProblem,
    parameters: Arrays,
    gradients: Arrays,
    momenta: Arrays,
    learning_rate: float,
    steps: Sequence[int],
    factor: Array | None = None,
) -> None:
    kernel = SOURCE.kernel("sgd", REAL=REAL[problem.dtype])
    # The step is along of_gradient * gradient + of_buffer * buffer; without momentum the buffer is the gradient.
    of_gradient, of_buffer = (1.0, problem.momentum) if problem.nesterov else (0.0, 1.0)
    keep = 1 - problem.dampening if problem.momentum else 1.0
    scalars = problem.momentum, keep, of_gradient, of_buffer, problem.weight_decay, _sign(problem)
    lists = parameters, gradients, *([momenta] if momenta else [])
    for count, step in _by_count(lists, steps, lambda count: min(count, 2)):  # all later steps are alike
        step.launch(kernel, factor, *_rate(learning_rate), count, *_numbers(problem, *scalars))
        step.write_back(0, *([2] if momenta else []))


@adam.variant("multi_tensor", device="cuda", priority=10, refuses=refuses)
def adam_chunks(
    problem: AdamProblem,
    parameters: Arrays,
    gradients: Arrays,
    first_moments: Arrays,
    second_moments: Arrays,
    learning_rate: float,
    steps: Sequence[int],
    factor: Array | None = None,
) -> None:
    kernel = SOURCE.kernel("adam", REAL=REAL[problem.dtype])
    decay, shrinking = (0.0, problem.weight_decay) if problem.decoupled else (problem.weight_decay, 0.0)
    betas = map(np.float64, problem.betas)
    epsilon, decay_number, sign = _numbers(problem, problem.epsilon, decay, _sign(problem))
    scalars = *betas, epsilon, decay_number, np.float64(shrinking), sign
    for count, step in _by_count((parameters, gradients, first_moments, second_moments), steps):
        step.launch(kernel, factor, *_rate(learning_rate), count, *scalars)
        step.write_back(0, 2, 3)


@rmsprop.variant("multi_tensor", device="cuda", priority=10, refuses=refuses)
def rmsprop_chunks(
    problem: RmspropProblem,
    parameters: Arrays,
    gradients: Arrays,
    square_averages: Arrays,
    momenta: Arrays,
    gradient_averages: Arrays,
    learning_rate: float,
    factor: Array | None = None,
) -> None:
    kernel = SOURCE.kernel("rmsprop", REAL=REAL[problem.dtype])
    rest = 1 - problem.alpha
    of_gradient = rest if problem.centered else 0.0
    scalars = problem.alpha, rest, problem.epsilon, problem.momentum, of_gradient
    step = _Step(parameters, gradients, square_averages, momenta, gradient_averages)
    numbers = _numbers(problem, *scalars, problem.weight_decay, _sign(problem))
    step.launch(kernel, factor, *_rate(learning_rate), *numbers)
    step.write_back(0, 2, 3, 4)


@squared_norm.variant("multi_tensor", device="cuda", priority=10, refuses=refuses)
def squared_norm_chunks(problem: SquaredNormProblem, gradients: Arrays) -> Array:
    step = _Step(gradients)
    like = gradients[0]
    if step.count == 0:
        return array_module(like).zeros((), np.float64)
    partial, total = empty((step.count,), np.float64, like), empty((), np.float64, like)
    step.launch(SOURCE.kernel("squares", REAL=REAL[problem.dtype]), partial)
    SOURCE.kernel("add_up", REAL=REAL[problem.dtype])((1,), (THREADS,), partial, np.int32(step.count), total)
    return total


@average.variant("multi_tensor", device="cuda", priority=10, refuses=refuses)
def average_chunks(problem: AverageProblem, averages: Arrays, values: Arrays, share: float | Array) -> None:
    step = _Step(averages, values)
    step.launch(SOURCE.kernel("average", REAL=REAL[problem.dtype]), *_rate(share))
    step.write_back(0)


@control.variant("one_block", device="cuda", priority=10)
def control_one_block(
    problem: ControlProblem, norm: Array, loss: Array, state: Array, steps: Array, moving: Array
) -> None:
    share = -1.0 if problem.share is None else problem.share
    bounds = problem.max_norm, problem.grows_after, problem.smallest, problem.largest, share
    numbers = map(np.float64, bounds)
    SOURCE.kernel("control", REAL="float")(
        (1,), (THREADS,), norm, loss, state, steps, moving, np.int32(steps.size), *numbers
    )
