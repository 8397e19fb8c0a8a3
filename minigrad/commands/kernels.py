"""minigrad kernels: which variants each operation has."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import add_debug


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "kernels",
        help="list the kernels",
        description="Each operation with its variants and their devices; --kernels OP=VARIANT chooses one.",
    )
    add_debug(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from minigrad.kernels.registry import OPERATIONS

    name_width = max(map(len, OPERATIONS))
    family_width = max(len(operation.family) for operation in OPERATIONS.values())
    print(f"{'family':<{family_width}}  {'operation':<{name_width}}  variants (device)")
    for operation in sorted(OPERATIONS.values(), key=lambda operation: (operation.family, operation.name)):
        variants = ", ".join(f"{variant.name} ({variant.device})" for variant in operation.variants.values())
        print(f"{operation.family:<{family_width}}  {operation.name:<{name_width}}  {variants}")
    return 0
