"""Where and with what a measurement was taken, so that its figures can be judged later."""

from __future__ import annotations

import datetime
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from minigrad.kernels.machine import graphics_card, processor


def commit() -> str:
    """The checkout's commit, with a mark where the working tree differs from it."""
    folder = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return f"{head.stdout.strip() or 'unknown'}{' (changed)' if changed.stdout.strip() else ''}"


def _program() -> str:
    """What was typed before the arguments."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {module.name.removesuffix('.__main__')}" if module else Path(sys.argv[0]).name


def _without_folder(argument: str) -> str:
    """A file that was named from the root on by its name alone: whoever reads the stamp has other folders."""
    return Path(argument).name if Path(argument).is_absolute() else argument


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
        "command": " ".join([_program(), *map(_without_folder, sys.argv[1:])]),
    }
