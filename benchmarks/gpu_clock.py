"""Time on a GPU: between two events, on a cold L2 cache, beside what the GPU copies and multiplies at most.

On the device "emulated" everything runs once and nothing is timed, so that the measuring programs can be
tried without a GPU.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from minigrad.device import describe, library
from minigrad.kernels.errors import MinigradError

ROUNDS, MOST_ROUNDS = 20, 100
COLD_BYTES = 256 << 20  # more than the L2 cache of any GPU
COPIED_BYTES = 1 << 30
MATRIX = 8192


@dataclass(frozen=True)
class Timing:
    """Milliseconds of some calls, each on a cold cache; None where nothing was timed."""

    median_ms: float | None = None
    p20_ms: float | None = None
    p80_ms: float | None = None
    calls: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Clock:
    """Times functions on "cuda"; on "emulated" only calls them."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.xp = library(device)
        self.cold = self.xp.zeros(COLD_BYTES // 4 if device == "cuda" else 1, self.xp.float32)

    def time(self, *functions: Callable[[], Any], seconds: float = 0.05) -> list[Timing]:
        """The functions take turns, ROUNDS times or for about `seconds` each, after three calls that
        do not count. Work of both minigrad and PyTorch goes to the default stream, on which the events lie.

        Writing COLD_BYTES before each call empties the cache and keeps the GPU busy while Python launches: what is
        timed is the work, not the launches, unless they take longer than that.
        """
        for function in functions:
            function()
        if self.device != "cuda":
            return [Timing(calls=1) for _ in functions]
        cuda = self.xp.cuda
        for function in functions:
            function()
            function()
        records: list[list[float]] = [[] for _ in functions]
        while len(records[0]) < ROUNDS or (
            len(records[0]) < MOST_ROUNDS and sum(map(sum, records)) < 1e3 * seconds * len(functions)
        ):
            for function, record in zip(functions, records, strict=True):
                start, end = cuda.Event(), cuda.Event()
                self.cold.fill(0)
                start.record()
                function()
                end.record()
                end.synchronize()
                record.append(cuda.get_elapsed_time(start, end))
        return [_summary(record) for record in records]


def _summary(milliseconds: list[float]) -> Timing:
    ordered = sorted(milliseconds)
    p20, p80 = (ordered[round(share * (len(ordered) - 1))] for share in (0.2, 0.8))
    return Timing(statistics.median(ordered), p20, p80, len(ordered))


@dataclass(frozen=True)
class Ceilings:
    """What this GPU does at most, measured here: bytes read and written a second, and bfloat16 operations."""

    bytes_per_second: float | None = None
    operations_per_second: float | None = None


def measure_ceilings(clock: Clock, torch: Any) -> Ceilings:
    """A copy of COPIED_BYTES by CuPy; a product of two bfloat16 matrices of MATRIX rows by PyTorch (cuBLAS)."""
    if clock.device != "cuda":
        return Ceilings()
    source = clock.xp.ones(COPIED_BYTES // 4, clock.xp.float32)
    target = clock.xp.empty_like(source)
    (copy,) = clock.time(partial(clock.xp.copyto, target, source))
    a, b = (torch.randn(MATRIX, MATRIX, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    (product,) = clock.time(lambda: a @ b)
    assert copy.median_ms is not None and product.median_ms is not None
    return Ceilings(2e3 * COPIED_BYTES / copy.median_ms, 2e3 * MATRIX**3 / product.median_ms)


def gpu_stamp(device: str) -> dict[str, Any]:
    """The GPU, its driver, and the versions of CUDA, CuPy and PyTorch."""
    stamp: dict[str, Any] = {"device": describe(device)}
    library(device)  # says what is missing
    if device != "cuda":
        return {**stamp, "note": "emulated: nothing here was timed, and nothing ran on a GPU"}
    cupy = library("cuda")
    runtime = cupy.cuda.runtime
    stamp |= {
        "compute_capability": cupy.cuda.Device().compute_capability,
        "driver_cuda": runtime.driverGetVersion(),
        "runtime_cuda": runtime.runtimeGetVersion(),
        "nvrtc": ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
        "cupy": cupy.__version__,
    }
    try:
        import torch
    except ImportError:
        return {**stamp, "torch": "not installed"}
    return {**stamp, "torch": torch.__version__, "cudnn": torch.backends.cudnn.version()}


if __name__ == "__main__":
    try:
        print(json.dumps(gpu_stamp(sys.argv[1])))
    except MinigradError as error:
        sys.exit(str(error))
