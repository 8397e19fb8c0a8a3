"""minigrad new-kernel: a file to start a kernel from."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from minigrad.kernels.errors import MinigradError
from minigrad.train.config import ConfigError

from .arguments import add_debug

OF_INCEPTION = ("conv2d", "max_pool2d", "batch_norm", "concat")
SUFFIXES = {"cuda": ".cu", "numba": ".py"}


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "new-kernel",
        help="a file to start a kernel of your own from",
        description="Write a simple, right kernel for an operation into a file of yours, to be made faster.",
    )
    parser.add_argument("operation", metavar="OP", help="such as conv2d_forward")
    parser.add_argument("--language", choices=tuple(SUFFIXES), required=True, help="cuda: C++; numba: Python")
    parser.add_argument("--name", default="mine", metavar="NAME", help="of the variant (default: mine)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: NAME.cu or NAME.py")
    add_debug(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from minigrad.workbench.contracts import contract_named
    from minigrad.workbench.templates import template, templates

    suffix = SUFFIXES[arguments.language]
    if not re.fullmatch(r"[A-Za-z]\w*", arguments.name) or arguments.name == "auto":
        raise ConfigError(f"--name {arguments.name!r} is no name for a variant: letters, digits and _")
    contract_named(arguments.operation)
    text = template(arguments.operation, suffix)
    if text is None:
        known = ", ".join(templates(suffix))
        raise MinigradError(
            f"there is no template of {arguments.operation} for {arguments.language}; there are: {known}"
        )
    path = arguments.out or Path(arguments.name + suffix)
    if path.suffix != suffix:
        raise ConfigError(f"--out {path}: a file for {arguments.language} ends in {suffix}")
    text = text.replace("FILE", str(path)).replace('"mine"', f'"{arguments.name}"')
    text = re.sub(r"^name:( +)mine$", rf"name:\1{arguments.name}", text, flags=re.MULTILINE)
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise MinigradError(f"{path} exists; name another file by --out") from None
    device = " --device emulated" if arguments.language == "cuda" else ""
    options = f"--kernel {path}{device}{few(arguments.operation)}"
    print(f"{path}: try it by\n  minigrad bench {arguments.operation} {options}")
    return 0


def few(operation: str) -> str:
    """The option that leaves the layers of one small module, of operations with many layers."""
    return " --layers inception5b" if operation.startswith(OF_INCEPTION) else ""
