"""Time what a training step of GoogLeNet calls, layer by layer, beside PyTorch's on channels-last tensors.

    python -m benchmarks.layers [--batch 16] [--size 224] [--operations conv2d_forward ...] [--json FILE]
    python -m benchmarks.layers --device cuda --dtype bfloat16 --batch 64

By default the convolutions, forward and both gradients. A line is a distinct shape with the variant that the
registry chooses for it: medians of both, taking turns in one process with the same number of threads, how far ours
is from the roofline measured in the same run, and `count`, how many layers of the network have that shape. Totals
weigh by it. What is measured and how is the workbench's (`minigrad bench`, which compares all variants); so is the
JSON file, which `minigrad bench compare` takes. Each variant is right on a few images before it is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

with contextlib.suppress(ImportError):  # before minigrad, whose choice of how threads wait shall not be PyTorch's
    import torch

from minigrad.device import library
from minigrad.kernels.cpu.jit import get_num_threads, set_num_threads
from minigrad.kernels.errors import MinigradError
from minigrad.kernels.registry import OPERATIONS, set_default_kernels
from minigrad.workbench.contracts import contracts_named
from minigrad.workbench.environment import environment
from minigrad.workbench.layers import Layer, layers_for
from minigrad.workbench.pytorch import installed
from minigrad.workbench.roofline import measure_ceilings
from minigrad.workbench.rows import Report, Row, save
from minigrad.workbench.session import PYTORCH, Session, Settings
from minigrad.workbench.timing import Clock, CpuClock, GpuClock

CONVOLUTIONS = ("conv2d_forward", "conv2d_input_gradient", "conv2d_weight_gradient")
CHECKED_IMAGES = 2
FEW = 3  # layers of each operation with --tiny


class ProcessorClock(CpuClock):
    """Time on the processor, of one thread."""

    def time(self, function: Callable[[], Any]) -> tuple[float, Any]:
        start = time.thread_time()
        result = function()
        return time.thread_time() - start, result


def measured(layers: Sequence[Layer], session: Session) -> Iterator[list[Row]]:
    """The rows of each layer: the variant that runs it, and PyTorch."""
    for layer in layers:
        chosen = OPERATIONS[layer.operation].select(layer.problem, session.settings.device).name
        session.settings = replace(session.settings, variants=(chosen,))
        yield from session.measure([layer])


HEADER = (
    f"{'shape':34} {'first layer':32} {'count':>5} {'variant':>26} {'error':>8} {'ours ms':>9} {'p20 - p80':>17} "
    f"{'PyTorch':>9} "
    f"{'ratio':>6} {'GFLOP/s':>8} {'GB/s':>6} {'of roofline':>15}"
)


def line(rows: Sequence[Row]) -> str:
    """One layer in a line; its ratio is how many times faster ours is."""
    ours = rows[0]
    start = f"{ours.layer.split('  (')[0]:34} {ours.paths[0]:32} {len(ours.paths):5} {ours.variant:>26} "
    if ours.verdict != "right":
        return f"{start}{ours.verdict}: {ours.reason}"
    start += f"{ours.norm_error:8.1e} "
    if ours.median_ms is None:
        return f"{start}(not timed)"
    theirs = next((row.median_ms for row in rows if row.variant == PYTORCH), None)
    beside = f"{'-':>9} {'-':>6}" if theirs is None else f"{theirs:9.3f} {theirs / ours.median_ms:6.2f}"
    return (
        f"{start}{ours.median_ms:9.3f} {f'{ours.p20_ms:.3f} - {ours.p80_ms:.3f}':>17} {beside} "
        f"{ours.gflops:8.0f} {ours.gigabytes:6.0f} {f'{ours.roofline:.0%} {ours.side}':>15}"
    )


def total(blocks: Sequence[Sequence[Row]]) -> str:
    """All layers of an operation in one step; PyTorch's beside those that it has been timed on, too."""
    timed = [rows for rows in blocks if rows[0].median_ms is not None]
    ours = sum(len(rows[0].paths) * (rows[0].median_ms or 0) for rows in timed)
    both = [rows for rows in timed if len(rows) > 1]
    against = sum(len(rows[0].paths) * (rows[0].median_ms or 0) for rows in both)
    theirs = sum(len(rows[1].paths) * (rows[1].median_ms or 0) for rows in both)
    ratio = f", PyTorch {theirs:.2f} ms, ratio {theirs / against:.2f}" if against else ""
    return f"{blocks[0][0].operation}: all layers of a step: ours {ours:.2f} ms{ratio}" if timed else ""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layers", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--operations", nargs="+", default=CONVOLUTIONS, metavar="OP", help="as for `minigrad bench`; or: all"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda", "emulated"), default="cpu", help="default: %(default)s"
    )
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--batch", type=int, default=16, help="images (default %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="height and width of an image (default %(default)s)")
    parser.add_argument("--kernels", default="", help="variants to force, such as conv2d=direct|auto")
    parser.add_argument("--threads", type=int, default=get_num_threads(), help="default: every core")
    parser.add_argument("--seconds", type=float, default=0.2, help="for each shape and library (default 0.2)")
    parser.add_argument("--warm", action="store_true", help="leave the arguments in the cache")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: time on the processor with --threads 1, for a machine that others keep busy",
    )
    parser.add_argument("--only", default="", help="only shapes whose line contains this text, such as 3x3/1")
    parser.add_argument("--tiny", action="store_true", help="one small image and a few shapes, to try the script")
    parser.add_argument("--without-torch", action="store_true", help="time minigrad alone")
    parser.add_argument("--json", type=Path, help="keep the rows in this file, written layer by layer")
    options = parser.parse_args(arguments)
    if options.tiny:
        options.batch, options.size = 1, 32
    for name in ("batch", "size", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    if options.clock == "cpu" and (options.threads != 1 or options.device != "cpu"):
        parser.error("--clock cpu counts one thread of the processor only; add --threads 1")
    if options.json is not None and not options.json.parent.is_dir():
        parser.error(f"--json: there is no folder {options.json.parent}")
    if not options.without_torch and not installed():
        parser.error("PyTorch is not installed; install the test extra, or pass --without-torch")
    return options


def clock_of(options: argparse.Namespace) -> Clock | None:
    if options.device == "emulated":
        return None
    return GpuClock() if options.device == "cuda" else ProcessorClock() if options.clock == "cpu" else CpuClock()


def report(options: argparse.Namespace) -> int:
    """Measure and print layer after layer; the number of rows that are wrong."""
    library(options.device)
    set_default_kernels(options.kernels, "--kernels")
    set_num_threads(options.threads)
    if options.device == "cuda" and not options.without_torch:
        torch.backends.cudnn.benchmark = True  # PyTorch may look for its fastest convolutions
        torch.backends.cudnn.allow_tf32 = False
    contracts = list({c.operation.name: c for name in options.operations for c in contracts_named(name)}.values())
    settings = Settings(
        options.device, options.dtype, (), options.seconds, options.warm, odd=0,
        with_pytorch=not options.without_torch, checked_images=CHECKED_IMAGES,
    )  # fmt: skip
    ceilings = None if options.device == "emulated" else measure_ceilings(options.device, options.dtype)
    session = Session(settings, ceilings, clock=clock_of(options))
    found = Report(environment(options.threads), asdict(settings), asdict(ceilings) if ceilings else {})
    print(f"{options.device}, {options.dtype}, batch {options.batch}, {options.size}x{options.size}, "
          f"{options.threads} threads; ceilings measured: {found.ceilings}", flush=True)  # fmt: skip
    rows: list[Row] = []
    layers = layers_for(contracts, "googlenet", options.batch, options.size, options.dtype)
    for contract in contracts:
        own = [
            layer for layer in layers if layer.operation == contract.operation.name and options.only in layer.name
        ]
        print(f"\n{contract.operation.name}\n{HEADER}", flush=True)
        blocks = []
        for block in measured(own[:FEW] if options.tiny else own, session):
            blocks.append(block)
            rows += block
            print(line(block), flush=True)
            if options.json is not None:
                save(found.with_rows(rows), options.json)
        if session.ceilings is not None and blocks:
            print(total(blocks))
    return sum(row.verdict not in ("right", "yardstick") for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        wrong = report(options)
    except MinigradError as error:
        print(f"benchmarks.layers: {error}", file=sys.stderr)
        return 1
    if wrong:
        print(f"benchmarks.layers: {wrong} rows are wrong", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
