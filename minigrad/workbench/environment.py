"""Where and with what a measurement was taken, so that its figures can be judged later."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from minigrad.device import library
from minigrad.kernels.errors import MinigradError


def processor() -> str:
    """The processor's name and its widest vector instructions, as the system tells them."""
    lines = []
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    pairs = (line.split(":", 1) for line in reversed(lines) if ":" in line)
    fields = {name.strip(): value.strip() for name, value in pairs}
    flags = fields.get("flags", "").split()
    vectors = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "")
    name = fields.get("model name", platform.processor() or platform.machine())
    return f"{name}, {os.cpu_count()} cores{', ' + vectors if vectors else ''}"


def commit() -> str:
    """The checkout's commit, with a mark where the working tree differs from it."""
    folder = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return f"{head.stdout.strip() or 'unknown'}{' (changed)' if changed.stdout.strip() else ''}"


def graphics_card() -> str:
    """The name of the GPU that CuPy uses, or "none"."""
    try:
        cupy = library("cuda")
    except MinigradError:
        return "none"
    name: bytes = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"]
    return name.decode()


def _program() -> str:
    """What was typed before the arguments."""
    path = Path(sys.argv[0])
    return path.name if path.suffix != ".py" else f"python -m {path.stem}"


def environment(threads: int) -> dict[str, str | int | dict[str, str]]:
    """Processor, GPU, threads, versions, commit, date and command."""
    versions = {"python": platform.python_version()}
    for name in ("minigrad", "numpy", "numba", "scipy", "torch", "cupy-cuda12x", "cupy-cuda13x"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "processor": processor(),
        "gpu": graphics_card(),
        "threads": threads,
        "versions": versions,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join([_program(), *sys.argv[1:]]),
    }
