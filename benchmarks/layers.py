"""Time the convolutions of GoogLeNet, layer by layer, beside PyTorch's on channels-last tensors.

    python -m benchmarks.layers [--batch 16] [--size 224] [--passes forward input_gradient weight_gradient]

Both run in one process with the same number of threads and take turns, so that whatever else the machine does
meets both. A figure is the median of the rounds; `count` says how many layers of the network have that
shape; the totals weigh each shape by its count. The stem's input gradient is left out: training never asks for it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

with contextlib.suppress(ImportError):  # before minigrad, whose choice of how threads wait shall not be PyTorch's
    import torch

from minigrad.kernels import conv2d
from minigrad.kernels.conv2d import Conv2dProblem
from minigrad.kernels.cpu.buffers import empty_channels_last
from minigrad.kernels.cpu.jit import get_num_threads, set_num_threads
from minigrad.kernels.errors import MinigradError
from minigrad.kernels.registry import use_kernels

PASSES = {
    "forward": conv2d.forward,
    "input_gradient": conv2d.input_gradient,
    "weight_gradient": conv2d.weight_gradient,
}

# Szegedy et al. 2015, Table 1: input channels, #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj; the
# "5x5" branch is 3x3, as in torchvision's network. "pool" halves the image, rounding up.
INCEPTIONS: list[tuple[int, ...] | str] = [
    (192, 64, 96, 128, 16, 32, 32),
    (256, 128, 128, 192, 32, 96, 64),
    "pool",
    (480, 192, 96, 208, 16, 48, 64),
    (512, 160, 112, 224, 24, 64, 64),
    (512, 128, 128, 256, 24, 64, 64),
    (512, 112, 144, 288, 32, 64, 64),
    (528, 256, 160, 320, 32, 128, 128),
    "pool",
    (832, 256, 160, 320, 32, 128, 128),
    (832, 384, 192, 384, 48, 128, 128),
]


def googlenet_convolutions(batch: int, size: int) -> Counter[Conv2dProblem]:
    """The distinct convolutions of GoogLeNet without its auxiliary heads, and how often each occurs."""
    layers: list[Conv2dProblem] = []

    def add(channels: int, filters: int, extent: int, image: int, stride: int = 1) -> None:
        pair = (extent // 2, extent // 2)
        layers.append(
            Conv2dProblem(batch, channels, (image, image), filters, (extent, extent), (stride, stride), pair)
        )

    add(3, 64, 7, size, stride=2)
    image = -(-layers[-1].output_size[0] // 2)
    add(64, 64, 1, image)
    add(64, 192, 3, image)
    image = -(-image // 2)
    for row in INCEPTIONS:
        if isinstance(row, str):
            image = -(-image // 2)
            continue
        channels, one, reduce_3, three, reduce_5, five, projection = row
        for filters in (one, reduce_3, reduce_5, projection):
            add(channels, filters, 1, image)
        add(reduce_3, three, 3, image)
        add(reduce_5, five, 3, image)
    return Counter(layers)


def operands(problem: Conv2dProblem, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """x, weight, gy in the layout that training has them in."""
    arrays = []
    for shape in (problem.input_shape, problem.output_shape):
        array = empty_channels_last(shape, problem.dtype)
        array[...] = generator.standard_normal(shape, dtype=np.float32)
        arrays.append(array)
    weight = generator.standard_normal(problem.weight_shape, dtype=np.float32)
    return arrays[0], weight / math.sqrt(weight[0].size), arrays[1]


def torch_call(problem: Conv2dProblem, which: str, x: np.ndarray, weight: np.ndarray, gy: np.ndarray) -> Callable:
    """The same pass in PyTorch, on channels-last tensors."""
    tx, tgy = (torch.from_numpy(np.ascontiguousarray(a)).to(memory_format=torch.channels_last) for a in (x, gy))
    tweight = torch.from_numpy(weight).to(memory_format=torch.channels_last)
    stride, padding = list(problem.stride), list(problem.padding)
    if which == "forward":
        return lambda: torch.conv2d(tx, tweight, None, stride, padding)
    mask = [which == "input_gradient", which == "weight_gradient", False]
    return lambda: torch.ops.aten.convolution_backward(
        tgy, tx, tweight, None, stride, padding, [1, 1], False, [0, 0], 1, mask
    )


def alternate(functions: Sequence[Callable[[], object]], seconds: float, clock: str) -> list[float]:
    """Median milliseconds of each function, the functions taking turns for about `seconds` in all."""
    now = {"wall": time.perf_counter, "cpu": time.thread_time}[clock]
    for function in functions:
        function()
    times: list[list[float]] = [[] for _ in functions]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for function, record in zip(functions, times, strict=True):
            # The other library's threads may still spin, waiting for more work; a pause lets them go to sleep.
            time.sleep(0.002)
            function()
            start = now()
            function()
            record.append(1e3 * (now() - start))
    return [statistics.median(record) for record in times]


def measure(problem: Conv2dProblem, which: str, seconds: float, clock: str, with_torch: bool) -> dict[str, object]:
    """One row of the table: our variant's name, its and PyTorch's milliseconds."""
    x, weight, gy = operands(problem, np.random.default_rng(0))
    arrays = {"forward": (x, weight, None), "input_gradient": (gy, weight), "weight_gradient": (x, gy)}[which]
    operation = PASSES[which]
    functions: list[Callable[[], object]] = [lambda: operation(problem, *arrays)]
    if with_torch:
        functions.append(torch_call(problem, which, x, weight, gy))
    ours, *theirs = alternate(functions, seconds, clock)
    return {
        "pass": which,
        "problem": str(problem),
        "variant": operation.select(problem, "cpu").name,
        "ours_ms": ours,
        "torch_ms": theirs[0] if theirs else None,
        "gflops": 2e-6 * problem.multiply_adds / ours,
    }


def shape_of(problem: Conv2dProblem) -> str:
    (h, w), (r, s) = problem.input_size, problem.filter_size
    return f"{problem.in_channels}x{h}x{w} -> {problem.out_channels}, {r}x{s}/{problem.stride[0]}"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layers", description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=16, help="images (default 16)")
    parser.add_argument("--size", type=int, default=224, help="height and width of an image (default 224)")
    parser.add_argument("--passes", nargs="+", choices=PASSES, default=list(PASSES), help="default: all three")
    parser.add_argument("--kernels", default="", help="variant to force, such as conv2d=direct|auto")
    parser.add_argument("--threads", type=int, default=get_num_threads(), help="default: every core")
    parser.add_argument("--seconds", type=float, default=0.4, help="for each shape and pass (default 0.4)")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: time on the processor with --threads 1, for a machine that others keep busy",
    )
    parser.add_argument("--only", default="", help="only shapes whose line contains this text, such as 3x3/1")
    parser.add_argument("--without-torch", action="store_true", help="time minigrad alone")
    parser.add_argument("--json", type=Path, help="write the rows to this file, a JSON list")
    options = parser.parse_args(arguments)
    for name in ("batch", "size", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    if options.clock == "cpu" and options.threads != 1:
        parser.error("--clock cpu counts one thread only; add --threads 1")
    if options.json is not None and not options.json.parent.is_dir():
        parser.error(f"--json: there is no folder {options.json.parent}")
    if not options.without_torch:
        try:
            import torch
        except ImportError:
            parser.error("PyTorch is not installed; install the test extra, or pass --without-torch")
        torch.set_num_threads(options.threads)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    rows: list[dict[str, object]] = []
    try:
        set_num_threads(options.threads)
        layers = googlenet_convolutions(options.batch, options.size)
        choices = dict(part.split("=", 1) for part in options.kernels.split(",") if part)
        selected = {name: tuple(names.split("|")) for name, names in choices.items()}
        with use_kernels(**selected):
            for which in options.passes:
                rows += report(which, layers, options)
    except (MinigradError, ValueError) as error:
        print(f"benchmarks.layers: {error}", file=sys.stderr)
        return 1
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def report(which: str, layers: Counter[Conv2dProblem], options: argparse.Namespace) -> list[dict[str, object]]:
    """Measure and print the table of one pass; its rows."""
    print(f"\n{which}, batch {options.batch}, {options.threads} threads")
    print(f"{'layer':34} {'count':>5} {'variant':>9} {'ours ms':>9} {'torch ms':>9} {'ratio':>6} {'GFLOP/s':>8}")
    rows = []
    ours_total = torch_total = 0.0
    for problem, count in layers.items():
        if options.only not in shape_of(problem) or (which == "input_gradient" and problem.in_channels == 3):
            continue
        row = measure(problem, which, options.seconds, options.clock, not options.without_torch)
        ours, theirs = float(row["ours_ms"]), float(row["torch_ms"] or np.nan)  # type: ignore[arg-type]
        ours_total, torch_total = ours_total + count * ours, torch_total + count * theirs
        print(
            f"{shape_of(problem):34} {count:5} {row['variant']:>9} {ours:9.3f} {theirs:9.3f} "
            f"{theirs / ours:6.2f} {row['gflops']:8.0f}",
            flush=True,
        )
        rows.append({**row, "count": count})
    if ours_total:
        print(f"{'total':34} {'':5} {'':9} {ours_total:9.2f} {torch_total:9.2f} {torch_total / ours_total:6.2f}")
    return rows


if __name__ == "__main__":
    sys.exit(main())
