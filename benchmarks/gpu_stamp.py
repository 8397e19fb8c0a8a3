"""The GPU, its driver, and the versions of CUDA, CuPy and PyTorch as JSON: python -m benchmarks.gpu_stamp cuda."""

from __future__ import annotations

import json
import sys
from typing import Any

from minigrad.device import describe, library
from minigrad.kernels.errors import MinigradError


def gpu_stamp(device: str) -> dict[str, Any]:
    """What a measurement on `device` is marked with.

    Raises:
        DeviceError: if the device is not there; says what is missing.
    """
    library(device)
    stamp: dict[str, Any] = {"device": describe(device)}
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
