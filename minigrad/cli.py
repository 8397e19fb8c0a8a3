"""The command line. Whatever a person can get wrong ends in one line on standard error, and a status above 0.

Status 0: done. 1: an error, told. 2: a command line that has no meaning. 130: Ctrl-C.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from . import __version__
from .commands import bench, evaluate, kernels, new_kernel, predict, summary, train
from .commands.arguments import Parser, one_line
from .kernels.cpu import jit, processor
from .kernels.errors import MinigradError
from .kernels.registry import default_choices
from .third_party import silence_grain
from .train.config import ConfigError

silence_grain()  # here and not in `main`, which worker processes do not call


def make_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(prog="minigrad", description="Train GoogLeNet on your own machine, from scratch.")
    parser.add_argument("--version", action="version", version=f"minigrad {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (train, evaluate, predict, summary, kernels, bench, new_kernel):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (by default, the process's own); gives the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may not know every sign
    try:
        arguments = make_parser().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        with warnings.catch_warnings():
            if not arguments.debug:
                warnings.simplefilter("ignore")
            processor.read_environment()
            jit.read_environment()
            if arguments.run is not kernels.run:  # which tells what there is to choose from, whatever was chosen
                default_choices()
            status: int = arguments.run(arguments)
            sys.stdout.flush()
            return status
    except BrokenPipeError:
        # Nobody reads on, as in `minigrad summary | head`; a flush at the exit shall not complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if arguments.debug:
            traceback.print_exc()
        line, status = explain(error)
        print(f"minigrad: {line}", file=sys.stderr)
        return status


def explain(error: BaseException) -> tuple[str, int]:
    """One line for a person, and the exit status."""
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted", 130
    if isinstance(error, MinigradError):
        # Of the notes only our own are for a person; Grain adds some about its frames.
        notes = (note for note in getattr(error, "__notes__", ()) if note.startswith("in module "))
        return one_line((str(error), *notes)), 2 if isinstance(error, ConfigError) else 1
    if isinstance(error, MemoryError):
        return one_line((f"out of memory: {error}", "a smaller --batch-size or --size needs less")), 1
    if isinstance(error, OSError) and error.strerror:
        return one_line((f"{error.filename}: {error.strerror}" if error.filename else error.strerror,)), 1
    return one_line((f"internal error: {type(error).__name__}: {error}", "run with --debug to see where")), 1


if __name__ == "__main__":
    sys.exit(main())
