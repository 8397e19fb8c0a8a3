"""minigrad kernels: which variants each operation has."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from minigrad.kernels.errors import KernelError
from minigrad.kernels.tuned import Tuned

from .arguments import add_debug, one_line
from .machine import tell_trouble


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "kernels",
        help="list the kernels",
        description="Each operation with its variants and their devices; --kernels OP=VARIANT chooses one, or the "
        "environment variable MINIGRAD_KERNELS. Status 1 where that names what does not exist. Where "
        "nobody chooses, the variant runs that `minigrad bench OP --autotune` found to be the fastest here; "
        "`untuned` as the choice goes without.",
    )
    parser.add_argument(
        "--forget-tuned", action="store_true", help="delete what was measured on this machine to be the fastest"
    )
    add_debug(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from minigrad.kernels.registry import OPERATIONS, default_choices, default_path, tuned

    if arguments.forget_tuned:
        from minigrad.workbench.autotune import forget

        print(f"forgot {forget(default_path())} tuned kernels of this machine, in {default_path()}")
        return 0
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
    print(f"\n{_tuned(tuned(), default_path())}")
    tell_trouble(tuned())
    return status


def _tuned(found: Tuned, path: Path) -> str:
    """How many tuned choices there are, and where they come from."""
    if not found.choices:
        return f"tuned for this machine: nothing (minigrad bench all --autotune measures, and keeps it in {path})"
    lines = [f"tuned for this machine, in {found.origin}:"]
    kinds = sorted({(choice.device, choice.threads) for choice in found.choices.values()})
    for device, threads in kinds:
        own = [c for c in found.choices.values() if (c.device, c.threads) == (device, threads)]
        changed = sum(choice.variant != choice.default for choice in own)
        where = f"{device}, {threads} threads" if threads else device
        lines.append(f"  {where}: {len(own)} problems, {changed} by another variant than the default")
    return "\n".join(
        [*lines, "--kernels untuned or MINIGRAD_KERNELS=untuned goes without, --forget-tuned deletes them"]
    )
