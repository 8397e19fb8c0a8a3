"""minigrad kernels: which variants each operation has."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from minigrad.kernels.errors import KernelError

from .arguments import add_debug, one_line


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "kernels",
        help="list the kernels",
        description="Each operation with its variants and their devices; --kernels OP=VARIANT chooses one, or the "
        "environment variable MINIGRAD_KERNELS. Status 1 where that names what does not exist.",
    )
    add_debug(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from minigrad.kernels.registry import OPERATIONS, default_choices

    try:
        default_choices()
    except KernelError as error:
        print(f"minigrad: {one_line([str(error)])}", file=sys.stderr, flush=True)
        status = 1
    else:
        status = 0
    name_width = max(map(len, OPERATIONS))
    family_width = max(len(operation.family) for operation in OPERATIONS.values())
    print(f"{'family':<{family_width}}  {'operation':<{name_width}}  variants (device)")
    for operation in sorted(OPERATIONS.values(), key=lambda operation: (operation.family, operation.name)):
        variants = ", ".join(f"{variant.name} ({variant.device})" for variant in operation.variants.values())
        print(f"{operation.family:<{family_width}}  {operation.name:<{name_width}}  {variants}")
    return status
