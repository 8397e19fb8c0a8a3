"""The option `--kernel FILE`: kernels of the user's own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from minigrad.train.config import ConfigError


def add_kernel(parser: argparse.ArgumentParser) -> None:
    """Add the option; it may be given several times."""
    parser.add_argument(
        "--kernel",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a kernel of your own, .py or .cu (`minigrad new-kernel` makes one to start from)",
    )


def load_named(files: Sequence[Path]) -> list[tuple[str, str]]:
    """Register the kernels of the files, and say which; operation and variant of each.

    Raises:
        KernelError: see `minigrad.workbench.user_kernel.load_kernels`.
    """
    from minigrad.workbench.user_kernel import load_kernels

    found = []
    for file in files:
        added = load_kernels(file)
        found += added
        names = ", ".join(f"{operation}={variant}" for operation, variant in added)
        print(f"{file}: {names}", flush=True)
    return found


def require_measured(kernels: Sequence[tuple[str, str]], measured: Sequence[str], device: str) -> None:
    """Refuse files of whose kernels a run would tell nothing.

    Args:
        kernels: operation and variant of each.
        measured: the operations of the run.

    Raises:
        ConfigError: if none of the kernels is of these operations and runs on the device.
    """
    from minigrad.kernels.registry import OPERATIONS

    asked = [kernel for kernel in kernels if kernel[0] in measured]
    if kernels and not asked:
        operation, name = kernels[0]
        raise ConfigError(f"--kernel: {operation}={name} is not measured here: minigrad bench {operation}")
    variants = [OPERATIONS[operation].variants[name] for operation, name in asked]
    if asked and not any(variant.runs_on(device) for variant in variants):
        where = "cuda, or emulated without a GPU" if variants[0].device == "cuda" else variants[0].device
        raise ConfigError(f"--kernel: {'='.join(asked[0])} does not run on {device}: give --device {where}")
