"""Optimiser steps on CUDA: the launches of optimizer_steps.cu, which says how the kernels work.

- `reference` makes several temporary arrays a parameter;
- `multi_tensor` reads and writes each element once, all parameters in one launch. Arrays that are not
  C-contiguous are copied first and, where they change, written back.

The table of addresses stays on the device as long as the arrays stay where they are, which is from step to step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Array, array_module
from ..cuda.buffers import address, contiguous, empty, uploaded
from ..cuda.dtypes import REAL, refuses_other_dtypes
from ..cuda.launch import CudaKernel, CudaSource
from . import adam, rmsprop, sgd, squared_norm
from .problem import AdamProblem, RmspropProblem, SgdProblem, SquaredNormProblem

Arrays = Sequence[Array]
THREADS = 256
CHUNK = 1 << 14  # elements of a block: enough to keep many loads under way, few enough to fill a GPU with
MOST_ARRAYS = 5  # as in the file

SOURCE = CudaSource("optimizer_steps/optimizer_steps.cu", REAL=tuple(REAL.values()))


def refuses(problem: Any) -> str | None:
    return refuses_other_dtypes(problem)


@lru_cache(maxsize=64)
def _chunks(sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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

    def __init__(self, *lists: Arrays) -> None:
        self._given = lists
        self._contiguous = [[contiguous(array) for array in arrays] for arrays in lists]
        tensors, starts, lengths = _chunks(tuple(array.size for array in lists[0]))
        like = lists[0][0]
        table = np.zeros((len(tensors), MOST_ARRAYS + 1), np.int64)  # `Chunk` of optimizer_steps.cu
        for column, arrays in enumerate(self._contiguous):
            if arrays:
                table[:, column] = np.array([address(array) for array in arrays])[tensors]
                table[:, column] += starts * like.itemsize
        table[:, MOST_ARRAYS] = lengths
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


def _numbers(problem: Any, *values: float) -> list[np.floating]:
    number = np.float64 if problem.dtype == "float64" else np.float32
    return [number(value) for value in values]


def _at_step(step: int, steps: Sequence[int], *lists: Arrays) -> list[Arrays]:
    """Those arrays whose parameter is at `step`."""
    return [[array for array, own in zip(arrays, steps, strict=True) if own == step] for arrays in lists]


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
    norm: Array | None = None,
) -> None:
    kernel = SOURCE.kernel("sgd", REAL=REAL[problem.dtype])
    # The step is along of_gradient * gradient + of_buffer * buffer; without momentum the buffer is the gradient.
    of_gradient, of_buffer = (1.0, problem.momentum) if problem.nesterov else (0.0, 1.0)
    first = [int(step == 1) for step in steps]
    for starting in sorted(set(first)):
        own = _at_step(starting, first, parameters, gradients, *([momenta] if momenta else []))
        momentum = 0.0 if starting else problem.momentum
        keep = 1.0 if starting or not problem.momentum else 1 - problem.dampening
        scalars = learning_rate, momentum, keep, of_gradient, of_buffer, problem.weight_decay, _sign(problem)
        step = _Step(*own)
        step.launch(kernel, norm, *_numbers(problem, *scalars))
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
    norm: Array | None = None,
) -> None:
    kernel = SOURCE.kernel("adam", REAL=REAL[problem.dtype])
    b1, b2 = problem.betas
    decay = 0.0 if problem.decoupled else problem.weight_decay
    shrink = 1 - learning_rate * problem.weight_decay if problem.decoupled else 1.0
    for count in sorted(set(steps)):  # all the same, unless a parameter had no gradient for a while
        corrected, correction = learning_rate / (1 - b1**count), 1 / np.sqrt(1 - b2**count)
        scalars = b1, 1 - b1, b2, 1 - b2, problem.epsilon, decay, shrink, _sign(problem)
        step = _Step(*_at_step(count, steps, parameters, gradients, first_moments, second_moments))
        step.launch(kernel, norm, *_numbers(problem, corrected, correction, *scalars))
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
    norm: Array | None = None,
) -> None:
    kernel = SOURCE.kernel("rmsprop", REAL=REAL[problem.dtype])
    rest = 1 - problem.alpha
    of_gradient = rest if problem.centered else 0.0
    scalars = learning_rate, problem.alpha, rest, problem.epsilon, problem.momentum, of_gradient
    step = _Step(parameters, gradients, square_averages, momenta, gradient_averages)
    step.launch(kernel, norm, *_numbers(problem, *scalars, problem.weight_decay, _sign(problem)))
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
