"""What the command lines share: a parser that complains in one line, and options made from a configuration."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import Field, fields
from typing import Any, NoReturn

from minigrad.train.config import DEVICES, TrainConfig, flag


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and that takes no abbreviated options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"minigrad: {message} (see {self.prog} --help)\n")


def add_debug(parser: argparse.ArgumentParser) -> None:
    """The option that every command has."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_machine(parser: argparse.ArgumentParser) -> None:
    """The options on where and how to compute."""
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to compute (default: auto)")
    for name in ("kernels", "threads"):
        item = next(item for item in fields(TrainConfig) if item.name == name)
        _add_option(parser, item, default=item.default)


def add_config(parser: argparse.ArgumentParser) -> None:
    """An option for each field of TrainConfig; those that are not given leave no trace."""
    for item in fields(TrainConfig):
        _add_option(parser, item, default=argparse.SUPPRESS)


def given_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of TrainConfig that were given on the command line."""
    names = {item.name for item in fields(TrainConfig)}
    return {name: value for name, value in vars(arguments).items() if name in names}


def _add_option(parser: argparse.ArgumentParser, item: Field[Any], default: Any) -> None:
    told = item.metadata
    if told["kind"] is bool:
        parser.add_argument(
            flag(item.name), action=argparse.BooleanOptionalAction, default=default, help=told["help"]
        )
        return
    shown = "" if item.default in (None, "") else f" (default: {item.default})"
    parser.add_argument(
        flag(item.name),
        type=told["kind"],
        choices=told["choices"] or None,
        metavar=told["metavar"] or None,
        default=default,
        help=told["help"] + shown,
    )


def one_line(parts: Iterable[str]) -> str:
    """`parts`, each with its line breaks and indents made single spaces, joined by "; "."""
    return "; ".join(" ".join(part.split()) for part in parts if part)
