"""Dropout in one pass: each thread draws the words of its own blocks and multiplies.

- `reference` draws all words first, in 64-bit arrays;
- `blocks` keeps them in registers. It runs in row-major order; an array in another order is copied, and the
  result lies like the argument. Twice as fast on 16x1024 elements (two cores).
"""

from __future__ import annotations

import numpy as np

from ..cpu.buffers import contiguous, empty
from ..cpu.floats import refuses_other_than_floats
from ..cpu.recording import again
from ..cpu.rows import span
from ..cpu.tasks import task_kernel, tasks_for
from ..philox.cpu import block
from . import forward
from .problem import DropoutProblem

_LOW, _HALF, _ZERO = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(0)
_NOWHERE = np.zeros(1, np.uint64)


@task_kernel
def _drop(task, tasks, x, seed, offset, base, threshold, scale, y):  # type: ignore[no-untyped-def]
    blocks = (x.size + 3) // 4
    zero = x.dtype.type(0)
    first, last = span(task, tasks, blocks)
    for number in range(first, last):
        counter = offset + base[0] + np.uint64(number)
        words = block(counter & _LOW, counter >> _HALF, _ZERO, _ZERO, seed & _LOW, seed >> _HALF)
        for lane in range(min(4, x.size - 4 * number)):
            y[4 * number + lane] = x[4 * number + lane] * (scale if words[lane] >= threshold else zero)


@forward.variant("blocks", device="cpu", only_launches=True, priority=10, refuses=refuses_other_than_floats)
def forward_blocks(
    problem: DropoutProblem, x: np.ndarray, seed: int, offset: int, base: np.ndarray | None = None
) -> np.ndarray:
    base = _NOWHERE if base is None else base.reshape(1)
    rows = contiguous(x)
    y = empty(x.shape, x.dtype)
    counters = np.uint64(seed % 2**64), np.uint64(offset % 2**64), base, np.uint64(problem.threshold)
    _drop(tasks_for(4 * x.size), rows.reshape(-1), *counters, x.dtype.type(problem.scale), y.reshape(-1))
    if rows is x:
        return y
    like_x = np.empty_like(x)
    again(lambda: np.copyto(like_x, y))
    return like_x
