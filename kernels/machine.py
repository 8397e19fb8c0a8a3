"""What this machine computes with: processor and graphics card by name."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from .cpu.processor import NAME, NATIVE


def processor() -> str:
    """The processor's name, number of cores and widest vector instructions, as the system tells them.

    Where MINIGRAD_CPU has kernels compute as on another processor, its name comes after that.
    """
    lines = []
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    pairs = (line.split(":", 1) for line in reversed(lines) if ":" in line)
    fields = {name.strip(): value.strip() for name, value in pairs}
    flags = fields.get("flags", "").split()
    vectors = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "")
    name = fields.get("model name", platform.processor() or platform.machine())
    level = "" if NAME == NATIVE else f" as {NAME}"
    return f"{name}, {os.cpu_count()} cores{', ' + vectors if vectors else ''}{level}"


def graphics_card() -> str:
    """The name of the GPU that CuPy uses, or "none"."""
    try:
        import cupy
    except ImportError:
        return "none"
    if not cupy.cuda.is_available():
        return "none"
    name: bytes = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())["name"]
    return name.decode()


def processor_of(device: str) -> str:
    """What computes on `device`: the graphics card for "cuda", else the processor."""
    return graphics_card() if device == "cuda" else processor()
