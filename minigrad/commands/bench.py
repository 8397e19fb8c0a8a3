"""minigrad bench: is a kernel right, and how fast is it on GoogLeNet's layers?"""

from __future__ import annotations

import argparse
import math
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigrad.kernels.errors import MinigradError
from minigrad.train.atomic_file import PARTIAL_SUFFIX
from minigrad.train.config import ConfigError

from .arguments import add_debug
from .user_kernels import add_kernel, load_named, require_measured

if TYPE_CHECKING:
    from minigrad.workbench.autotune import Tuner
    from minigrad.workbench.contracts import Contract
    from minigrad.workbench.layers import Layer
    from minigrad.workbench.rows import Report, Row
    from minigrad.workbench.session import Session

DEVICES = ("cpu", "cuda", "emulated")
DTYPES = ("float32", "float64", "float16", "bfloat16")
# Images, and their height and width: enough to be worth timing, and little enough for the emulator.
DEFAULT_BATCH = {"cpu": 8, "cuda": 64, "emulated": 2}
DEFAULT_SIZE = {"cpu": 224, "cuda": 224, "emulated": 32}


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "bench",
        help="test and time kernels on a model's layers",
        description="Compare the variants of an operation with a float64 oracle, and time those that are right. "
        "OP is an operation, a family (conv2d, pool2d, batch_norm, ...), the beginning of names (max_pool2d), or "
        "all. `minigrad bench compare OLD.json NEW.json` compares two runs. Status 1 where something is wrong "
        "or slower.",
    )
    parser.add_argument("targets", metavar="OP", nargs="+", help="what to measure; or: compare OLD.json NEW.json")
    parser.add_argument("--model", default="googlenet", metavar="NAME", help="whose layers (default: googlenet)")
    parser.add_argument(
        "--layers", nargs="+", default=(), metavar="TEXT", help="only layers with one of these in their line"
    )
    parser.add_argument(
        "--problem", action="append", default=[], metavar="TEXT",
        help="a shape by hand instead of layers, as the tables print it: 'Conv2dProblem(batch=2, ...)'",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, metavar="N", help="images (8; cuda 64, emulated 2)")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="of the images (224; emulated 32)")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of activations (default: float32)")
    parser.add_argument(
        "--device", choices=DEVICES, default="cpu", help="default: cpu; emulated: nothing is timed"
    )
    add_kernel(parser)
    parser.add_argument("--variants", nargs="+", default=(), metavar="NAME", help="only these")
    parser.add_argument(
        "--odd", type=int, default=6, metavar="N", help="odd shapes that a variant must pass first (default: 6)"
    )
    parser.add_argument(
        "--tolerance", type=float, metavar="X", help="relative error allowed, instead of the dtype's"
    )
    parser.add_argument("--seconds", type=float, default=0.3, metavar="X", help="for each variant and layer (0.3)")
    parser.add_argument("--warm", action="store_true", help="leave the arguments in the cache")
    parser.add_argument("--seed", type=int, metavar="N", help="of all random numbers (default: a new one)")
    parser.add_argument("--threads", type=int, metavar="N", help="default: every core")
    parser.add_argument(
        "--autotune", action="store_true", help="keep the fastest variant of each layer, for this machine to use"
    )
    parser.add_argument("--without-pytorch", action="store_true", help="do not time PyTorch beside")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all rows there, written layer by layer")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw roofline and times there, .png or .svg, a file an operation",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.05,
        metavar="X",
        help="compare: less than this share is no change (0.05)",
    )
    add_debug(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    return compare(arguments) if arguments.targets[0] == "compare" else measure(arguments)


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

    _require(arguments)
    threads = apply_settings("", arguments.threads)
    library(arguments.device)
    contracts = _contracts(arguments.targets)
    names = [contract.operation.name for contract in contracts]
    require_measured(load_named(arguments.kernel), names, arguments.device)
    if arguments.autotune and not any(contract.tunable for contract in contracts):
        raise ConfigError(
            f"--autotune: training asks for {', '.join(names)} without the sizes, so that no choice can be kept"
        )
    layers = _layers(arguments, contracts)
    settings = Settings(
        arguments.device, arguments.dtype, tuple(arguments.variants), arguments.seconds, arguments.warm,
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


def _require(arguments: argparse.Namespace) -> None:
    """Refuse, before any work is done, what has no meaning."""
    for name in ("batch", "size"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} must be at least 1, not {value}")
    for name in ("odd", "seconds"):
        value = getattr(arguments, name)
        if not 0 <= value < math.inf:
            raise ConfigError(f"--{name} must be a number from 0 on, not {value}")
    if arguments.seed is not None and arguments.seed < 0:
        raise ConfigError(f"--seed must not be negative, is {arguments.seed}")
    if arguments.tolerance is not None and not arguments.tolerance > 0:
        raise ConfigError(f"--tolerance must be above 0, not {arguments.tolerance}")
    for name in ("json", "plot"):
        path = getattr(arguments, name)
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"--{name}: there is no folder {path.parent}")
        if path is not None:
            _require_writable(name, path)
    if arguments.plot is not None and arguments.plot.suffix not in (".png", ".svg"):
        raise ConfigError(f"--plot {arguments.plot}: a picture ends in .png or .svg")
    for name in ("plot", "autotune"):
        if getattr(arguments, name) and arguments.device == "emulated":
            raise ConfigError(f"--{name} needs times, and on --device emulated there are none")
    if arguments.autotune and arguments.variants:
        raise ConfigError("--autotune looks for the fastest of all variants: leave --variants out")


def _require_writable(option: str, path: Path) -> None:
    """Refuse a file that cannot be written before time is spent on what goes there."""
    if path.is_dir():
        raise ConfigError(f"--{option} {path}: it is a folder")
    if path.exists() and not path.is_file():  # it would be replaced, whatever it is
        raise ConfigError(f"--{option} {path}: it is a device or pipe, and no file")
    probe = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        probe.open("ab").close()
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"--{option} {path}: {error.strerror}") from error


def _contracts(targets: list[str]) -> list[Contract]:
    from minigrad.workbench.contracts import contracts_named

    named = {c.operation.name: c for target in targets for c in contracts_named(target)}
    return list(named.values())


def _layers(arguments: argparse.Namespace, contracts: list[Contract]) -> list[Layer]:
    """The layers to measure, those of one operation beside each other."""
    from minigrad.workbench.by_hand import parse_problem
    from minigrad.workbench.layers import Layer, layers_for

    from .model import require_model

    if arguments.problem:
        problems = [parse_problem(text) for text in arguments.problem]
        found = [
            Layer(c.operation.name, problem)
            for c in contracts
            for problem in problems
            if isinstance(problem, c.problem)
        ]
        for contract, problem in ((c, p) for c in contracts for p in problems if isinstance(p, c.problem)):
            reason = contract.unfit(problem)
            if reason is not None:
                raise ConfigError(f"--problem: {contract.operation.name}: {reason}")
        if not found:
            raise ConfigError(
                f"--problem: {' and '.join(arguments.targets)} takes no {type(problems[0]).__name__}"
            )
        if any(problem.dtype != arguments.dtype for problem in problems):
            raise ConfigError(f"--problem: its dtype must be that of --dtype, {arguments.dtype}")
        return found
    batch = arguments.batch or DEFAULT_BATCH[arguments.device]
    size = arguments.size or DEFAULT_SIZE[arguments.device]
    require_model(arguments.model, size)
    runs = layers_for(contracts, arguments.model, batch, size, arguments.dtype)
    if not runs:
        names = [contract.operation.name for contract in contracts]
        raise MinigradError(f"{arguments.model} does not run {', '.join(names)}; give a shape by --problem")
    found = [
        layer
        for layer in runs
        if not arguments.layers or any(text in f"{layer.name} {layer.paths}" for text in arguments.layers)
    ]
    if not found:
        raise MinigradError(f"--layers: no layer's line contains {' or '.join(map(repr, arguments.layers))}")
    return found


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
    try:
        for name in dict.fromkeys(layer.operation for layer in layers):
            for block in session.measure([layer for layer in layers if layer.operation == name]):
                rows += block
                bar.write(layer_block(block, page()), file=sys.stdout)
                bar.update(bool(block[0].paths) or bool(arguments.problem))
                if arguments.json is not None:
                    save(report.with_rows(rows), arguments.json)
                if tuner is not None:
                    tuner.note(block)
    except KeyboardInterrupt:
        kept = f"; {len(rows)} rows are in {arguments.json}" if arguments.json and rows else ""
        tuned = f"; {tuner.summary()}" if tuner is not None else ""
        raise KeyboardInterrupt(f"interrupted after {len(rows)} rows{kept}{tuned}") from None
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
        raise MinigradError(f"no variant ran: {idle[0].variant} refuses {idle[0].problem}: {idle[0].reason}")
    return 0
