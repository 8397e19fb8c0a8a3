"""minigrad bench: is a kernel right, and how fast is it on GoogLeNet's layers?"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigrad.kernels.errors import MinigradError
from minigrad.train.atomic_file import is_standard_output, is_stream
from minigrad.train.config import ConfigError

from .bench_layers import contracts_asked_for, layers_asked_for
from .bench_options import add_options, require_meaning, seconds_of_timing
from .user_kernels import load_named, require_measured

if TYPE_CHECKING:
    from minigrad.workbench.autotune import Tuner
    from minigrad.workbench.layers import Layer
    from minigrad.workbench.rows import Report, Row
    from minigrad.workbench.session import Session


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "bench",
        help="test and time kernels on a model's layers",
        description="Compare the variants of an operation with a float64 oracle, and time those that are right. "
        "OP is an operation, a family (conv2d, pool2d, batch_norm, ...), the beginning of names (max_pool2d), or "
        "all. `minigrad bench compare OLD.json NEW.json` compares two runs. Status 1 where something is wrong "
        "or slower.",
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.targets[0] == "compare":
        return compare(arguments)
    alone = arguments.json is not None and is_standard_output(arguments.json)
    with redirect_stdout(sys.stderr) if alone else nullcontext():
        return measure(arguments)


def compare(arguments: argparse.Namespace) -> int:
    from minigrad.workbench import compare
    from minigrad.workbench.rows import load
    from minigrad.workbench.table import page

    if len(arguments.targets) != 3:
        raise ConfigError("compare takes two files: minigrad bench compare OLD.json NEW.json")
    if not arguments.threshold >= 0:
        raise ConfigError(f"--threshold must not be negative, is {arguments.threshold}")
    old, new = (load(Path(name)) for name in arguments.targets[1:])
    comparisons = compare.compare(old, new, arguments.threshold)
    for difference in compare.differences(old, new):
        print(f"note: the two were measured differently, {difference}")
    print(compare.summary(comparisons, page()))
    for name, other, missing in (
        (*arguments.targets[1:], compare.only_in(old, new)),
        (*arguments.targets[:0:-1], compare.only_in(new, old)),
    ):
        if missing:
            print(f"note: {missing} rows of {name} are not in {other}")
    worse = [c for c in comparisons if c.is_regression]
    if worse:
        first = worse[0]
        name = f"{first.new.operation}={first.new.variant} on {first.new.layer}"
        raise MinigradError(f"{len(worse)} of {len(comparisons)} rows are worse, as {name}: {first.word}")
    return 0


def measure(arguments: argparse.Namespace) -> int:
    from minigrad.device import library
    from minigrad.kernels.registry import default_path
    from minigrad.workbench.autotune import Tuner
    from minigrad.workbench.environment import environment
    from minigrad.workbench.roofline import measure_ceilings
    from minigrad.workbench.rows import Report
    from minigrad.workbench.session import Session
    from minigrad.workbench.settings import Settings
    from minigrad.workbench.table import heading, page

    from .machine import apply_settings

    require_meaning(arguments)
    threads = apply_settings("", arguments.threads)
    library(arguments.device)
    contracts = contracts_asked_for(arguments.targets)
    names = [contract.operation.name for contract in contracts]
    require_measured(load_named(arguments.kernel), names, arguments.device)
    if arguments.autotune and not any(contract.tunable for contract in contracts):
        raise ConfigError(
            f"--autotune: training asks for {', '.join(names)} without the sizes, so that no choice can be kept"
        )
    layers = layers_asked_for(arguments, contracts)
    settings = Settings(
        arguments.device, arguments.dtype, tuple(arguments.variants),
        seconds_of_timing(arguments, len(layers)), arguments.warm,
        secrets.randbits(32) if arguments.seed is None else arguments.seed, arguments.odd, arguments.tolerance,
        not arguments.without_pytorch,
    )  # fmt: skip
    ceilings = None if settings.device == "emulated" else measure_ceilings(settings.device, settings.dtype)
    report = Report(environment(threads), asdict(settings), asdict(ceilings) if ceilings else {})
    cache = "warm" if settings.warm else "cold"
    page().print(heading(settings.device, settings.dtype, threads, cache, ceilings, settings.seed))
    with progress(len(layers)) as bar:
        session = Session(settings, ceilings, bar.set_postfix_str)
        tuner = Tuner(layers, threads, default_path()) if arguments.autotune else None
        return _report(arguments, report, session, layers, bar, tuner)


@contextmanager
def progress(layers: int) -> Iterator[Any]:
    """A bar over the layers, on a terminal; each layer's block is printed above it."""
    from tqdm import tqdm

    hidden = not sys.stderr.isatty()
    with tqdm(total=layers, unit="layer", file=sys.stderr, leave=False, disable=hidden, dynamic_ncols=True) as bar:
        yield bar


def _report(
    arguments: argparse.Namespace,
    report: Report,
    session: Session,
    layers: list[Layer],
    bar: Any,
    tuner: Tuner | None,
) -> int:
    """Measure, print and keep layer after layer; the exit status."""
    from minigrad.workbench.rows import save
    from minigrad.workbench.table import layer_block, page

    rows: list[Row] = []
    streamed = arguments.json is not None and is_stream(arguments.json)
    try:
        for name in dict.fromkeys(layer.operation for layer in layers):
            for block in session.measure([layer for layer in layers if layer.operation == name]):
                rows += block
                bar.write(layer_block(block, page()), file=sys.stdout)
                bar.update(bool(block[0].paths) or bool(arguments.problem))
                if arguments.json is not None and not streamed:
                    save(report.with_rows(rows), arguments.json)
                if tuner is not None:
                    tuner.note(block)
    except KeyboardInterrupt:
        kept = f"; {len(rows)} rows are in {arguments.json}" if arguments.json and rows else ""
        tuned = f"; {tuner.summary()}" if tuner is not None else ""
        raise KeyboardInterrupt(f"interrupted after {len(rows)} rows{kept}{tuned}") from None
    finally:
        if arguments.json is not None and (rows or streamed):  # once more: it may have been interrupted
            save(report.with_rows(rows), arguments.json)
    if tuner is not None:
        print(tuner.summary())
    if arguments.plot is not None and session.ceilings is not None and any(row.median_ms for row in rows):
        from minigrad.workbench.plot import plot

        print(f"drawn: {', '.join(map(str, plot(arguments.plot, rows, session.ceilings)))}")
    wrong = sorted({f"{row.operation}={row.variant}" for row in rows if row.verdict == "wrong"})
    if wrong:
        raise MinigradError(f"wrong: {', '.join(wrong)}")
    idle = [row for row in rows if row.verdict == "refuses" and row.paths + tuple(arguments.problem)]
    if idle and not any(row.verdict == "right" and row.bytes_moved for row in rows):
        raise MinigradError(f"no variant ran: {_refusals(idle)}")
    return 0


def _refusals(idle: list[Row]) -> str:
    """Why nothing ran on the first of the layers, and on how many others nothing did."""
    problem = idle[0].problem
    first, *others = (f"{row.variant} refuses {{}}: {row.reason}" for row in idle if row.problem == problem)
    words = "; ".join([first.format(problem), *(other.format("it") for other in others)])
    more = len({row.problem for row in idle}) - 1
    return words + (f" (and so on, on {more} other problems)" if more else "")
