"""Dropout on CUDA: the launch of dropout.cu, which says how the kernel works.

- `reference` draws all words first, in 64-bit arrays;
- `four_a_thread` keeps them in registers. It runs in row-major order; an array in another order is copied, and the
  result lies like the argument.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array, array_module
from ..cuda.buffers import contiguous, empty
from ..cuda.dtypes import REAL, refuses_other_dtypes
from ..cuda.launch import CudaSource
from . import forward
from .problem import DropoutProblem

THREADS = 256
MOST_BLOCKS = 1 << 14
SOURCE = CudaSource("dropout/dropout.cu", REAL=tuple(REAL.values()))


def refuses(problem: DropoutProblem) -> str | None:
    return refuses_other_dtypes(problem)


@forward.variant("four_a_thread", device="cuda", priority=10, refuses=refuses)
def forward_four_a_thread(
    problem: DropoutProblem, x: Array, seed: int, offset: int, base: Array | None = None
) -> Array:
    rows = contiguous(x)
    y = empty(x.shape, x.dtype, like=x)
    grid = (min(MOST_BLOCKS, -(-problem.blocks // THREADS)),)
    counters = np.uint64(seed % 2**64), np.uint64(offset % 2**64), base, np.uint64(problem.threshold)
    launch = SOURCE.kernel("drop", REAL=REAL[problem.dtype])
    launch(grid, (THREADS,), rows, np.int64(problem.size), *counters, np.float64(problem.scale), y)
    if rows is x:
        return y
    like_x = array_module(x).empty_like(x)
    like_x[...] = y
    return like_x
