"""The two ceilings of this machine, measured: how fast it moves memory, and how fast it multiplies.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", CACM 52 (2009): work that
moves b bytes and makes f operations takes at least max(b / bandwidth, f / peak).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from minigrad.device import library
from minigrad.kernels.cpu.jit import get_num_threads
from minigrad.kernels.cpu.rows import span
from minigrad.kernels.cpu.tasks import task_kernel

from .timing import CpuClock, GpuClock

CPU_COPY, GPU_COPY = 1 << 27, 1 << 30  # bytes, beyond every cache
CPU_PRODUCT, GPU_PRODUCT = 1536, 8192  # rows and columns of both factors
TRIES = 6


@dataclass(frozen=True)
class Ceilings:
    """What a device can do at most.

    Attributes:
        bandwidth: bytes read and written in a second, by a copy or a change in place, whichever is faster:
            on a CPU, a copy has to fetch what it overwrites, too.
        peak: additions and multiplications in a second, by a product of large matrices.
    """

    bandwidth: float
    peak: float

    def least_seconds(self, work: float, bytes_moved: float) -> float:
        """The time that no kernel can beat, unless it needs less work than the definition."""
        return max(work / self.peak, bytes_moved / self.bandwidth)

    def side(self, work: float, bytes_moved: float) -> str:
        """Which ceiling is met first: "bytes" or "arithmetic"."""
        return "bytes" if bytes_moved / self.bandwidth >= work / self.peak else "arithmetic"


@task_kernel
def _copy(task, tasks, x, y):  # type: ignore[no-untyped-def]
    for i in range(*span(task, tasks, x.size)):
        y[i] = x[i]


@task_kernel
def _increment(task, tasks, x):  # type: ignore[no-untyped-def]
    for i in range(*span(task, tasks, x.size)):
        x[i] += 1


def measure_ceilings(device: str, dtype: str) -> Ceilings:
    """The fastest of some copies and products; on a CPU, those of 16 bits in float32, as in all kernels."""
    if device == "cuda":
        return _on_gpu(dtype)
    clock = CpuClock()
    x, y = np.zeros(CPU_COPY // 8), np.zeros(CPU_COPY // 8)
    moves = (lambda: _copy(64, x, y)), (lambda: _increment(64, x))
    moving = min(clock.time(move)[0] for move in moves for _ in range(TRIES))
    kind = np.float64 if dtype == "float64" else np.float32
    a = np.random.default_rng(0).standard_normal((CPU_PRODUCT, CPU_PRODUCT)).astype(kind)
    out = np.empty_like(a)
    with threadpool_limits(get_num_threads(), user_api="blas"):
        product = min(clock.time(lambda: np.matmul(a, a, out=out))[0] for _ in range(TRIES))
    return Ceilings(2 * CPU_COPY / moving, 2 * CPU_PRODUCT**3 / product)


def _on_gpu(dtype: str) -> Ceilings:
    xp: Any = library("cuda")
    clock = GpuClock()
    x, y = xp.zeros(GPU_COPY // 4, xp.float32), xp.zeros(GPU_COPY // 4, xp.float32)
    copy = min(clock.time(lambda: xp.copyto(y, x))[0] for _ in range(TRIES))
    a = xp.random.standard_normal((GPU_PRODUCT, GPU_PRODUCT), xp.float32).astype(np.dtype(dtype))
    out = xp.empty_like(a)
    product = min(clock.time(lambda: xp.matmul(a, a, out=out))[0] for _ in range(TRIES))
    return Ceilings(2 * GPU_COPY / copy, 2 * GPU_PRODUCT**3 / product)
