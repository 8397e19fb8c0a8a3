"""Softmax cross-entropy on CUDA: the launches of cross_entropy.cu, which says how the kernels work.

- `reference` makes several temporary matrices;
- `warps` makes none: a warp takes a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..cuda.buffers import contiguous, empty
from ..cuda.dtypes import REAL, refuses_other_dtypes
from ..cuda.launch import CudaKernel, CudaSource
from . import forward, input_gradient
from .problem import CrossEntropyProblem

TARGET = {"int32": "int", "int64": "long long"}
THREADS = 128
SOURCE = CudaSource("cross_entropy/cross_entropy.cu", REAL=tuple(REAL.values()), TARGET=tuple(TARGET.values()))


def refuses(problem: CrossEntropyProblem) -> str | None:
    if obstacle := refuses_other_dtypes(problem):
        return obstacle
    return "it counts lanes in 32 bits" if problem.rows * 32 >= 2**31 else None


def _prepared(*arrays: Array) -> list[Array]:
    """The arrays C-contiguous; the last ones, the targets, of 32 or 64 bits."""
    *reals, targets = arrays
    if targets.dtype.name not in TARGET:
        targets = targets.astype("int64")
    return [contiguous(array) for array in (*reals, targets)]


def _kernel(name: str, problem: CrossEntropyProblem, targets: Array) -> CudaKernel:
    return SOURCE.kernel(name, REAL=REAL[problem.dtype], TARGET=TARGET[targets.dtype.name])


def _grid(problem: CrossEntropyProblem) -> tuple[int]:
    return (-(-problem.rows * 32 // THREADS),)


def _constants(problem: CrossEntropyProblem) -> tuple[Any, ...]:
    sizes = np.int32(problem.rows), np.int32(problem.classes)
    return *sizes, np.float64(problem.label_smoothing), np.int64(problem.ignore_index)


@forward.variant("warps", device="cuda", priority=10, refuses=refuses)
def forward_warps(problem: CrossEntropyProblem, logits: Array, targets: Array) -> Array:
    logits, targets = _prepared(logits, targets)
    losses = empty((problem.rows,), logits.dtype, like=logits)
    launch = _kernel("losses", problem, targets)
    launch(_grid(problem), (THREADS,), logits, targets, *_constants(problem), losses)
    return losses


@input_gradient.variant("warps", device="cuda", priority=10, refuses=refuses)
def input_gradient_warps(problem: CrossEntropyProblem, glosses: Array, logits: Array, targets: Array) -> Array:
    glosses, logits, targets = _prepared(glosses, logits, targets)
    glogits = empty((problem.rows, problem.classes), logits.dtype, like=logits)
    launch = _kernel("gradients", problem, targets)
    launch(_grid(problem), (THREADS,), glosses, logits, targets, *_constants(problem), glogits)
    return glogits
