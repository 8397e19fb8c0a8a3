"""The option `--kernel FILE`: kernels of the user's own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


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


def load_named(files: Sequence[Path]) -> None:
    """Register the kernels of the files, and say which.

    Raises:
        KernelError: see `minigrad.workbench.user_kernel.load_kernels`.
    """
    from minigrad.workbench.user_kernel import load_kernels

    for file in files:
        names = ", ".join(f"{operation}={variant}" for operation, variant in load_kernels(file))
        print(f"{file}: {names}", flush=True)
