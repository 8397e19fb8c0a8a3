"""Training throughput on a GPU: minigrad beside PyTorch, eager and compiled (AMP, channels_last), same weights.

    python -m benchmarks.gpu_training [--device cuda] [--tiny] [--batch 256] [--precision bfloat16] [--json FILE]

A step is forward with auxiliary losses, backward, and SGD with momentum; the images lie on the GPU already. The
time of a step is from call to call with a synchronisation at its end. Contenders come one after the other, each
after steps that do not count. minigrad runs twice: its step as one CUDA graph, as in `minigrad train`, and launch
by launch. A profile tells where the step spends the GPU's time, kernel by kernel.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import minigrad as mg
from benchmarks.torch_googlenet import TorchGoogLeNet, torch_loss
from minigrad import optim
from minigrad.device import library
from minigrad.models import GoogLeNet, loss
from minigrad.train.captured_step import CapturedStep
from minigrad.train.loss_scaling import LossScale
from minigrad.train.precision import computing_in
from minigrad.workbench.timing import Timing

GRAPH, OURS, EAGER, COMPILED = "minigrad graph", "minigrad", "PyTorch eager", "torch.compile"
CLASSES, LEARNING_RATE, MOMENTUM = 1000, 0.01, 0.9
WARM_UP, STEPS = 5, 20
Step = Callable[[], float]  # gives the loss


def data(batch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.standard_normal((batch, size, size, 3), dtype=np.float32).transpose(0, 3, 1, 2)
    return images, generator.integers(0, CLASSES, batch)


def our_model() -> GoogLeNet:
    mg.manual_seed(0)
    return GoogLeNet(num_classes=CLASSES)


def our_step(options: argparse.Namespace, captured: bool) -> Step:
    model = our_model().to(options.device).train()
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    images, labels = data(options.batch, options.size)
    if captured:
        # A loss scale costs nothing beside the rest, and float16 would not be trained without one.
        scale = LossScale() if options.precision == "float16" else None
        graph = CapturedStep(model, loss, optimizer, options.precision, loss_scale=scale)
        return lambda: graph.repeat(images, labels).loss
    x, targets = mg.asarray(images, device=options.device), mg.asarray(labels, device=options.device)

    def step() -> float:
        optimizer.zero_grad()
        with computing_in(options.precision):
            value = loss(model(x), targets)
        value.backward()
        optimizer.step()
        return float(value.item())

    return step


def torch_step(options: argparse.Namespace, compiled: bool) -> Step:
    device = "cuda" if options.device == "cuda" else "cpu"
    model = TorchGoogLeNet(num_classes=CLASSES)
    model.load_state_dict(
        {key: torch.from_numpy(np.array(v.numpy())) for key, v in our_model().state_dict().items()}
    )
    model = model.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    images, labels = data(options.batch, options.size)
    x = torch.from_numpy(images).to(device).to(memory_format=torch.channels_last)
    targets = torch.from_numpy(labels).to(device)
    run = torch.compile(model) if compiled else model
    mixed = options.precision in ("bfloat16", "float16")
    amp = torch.autocast(device, getattr(torch, options.precision) if mixed else torch.bfloat16, enabled=mixed)

    def step() -> float:
        optimizer.zero_grad()
        with amp:
            value = torch_loss(run(x), targets)
        value.backward()
        optimizer.step()
        return float(value.item())

    return step


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One contender's row. `float(loss)` at the end of each step waits for the GPU."""
    ours = name in (GRAPH, OURS)
    step = our_step(options, name == GRAPH) if ours else torch_step(options, compiled=name == COMPILED)
    started = time.perf_counter()
    losses = [step()]
    first = time.perf_counter() - started
    if name == GRAPH:
        losses += [step(), step()]  # captured, and launched again
    if options.device != "cuda":
        return {"contender": name, "first_loss": losses[0], "last_loss": losses[-1], "note": "emulated: not timed"}
    for _ in range(WARM_UP):
        losses.append(step())
    seconds = []
    for _ in range(STEPS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        losses.append(step())
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    timing = Timing(tuple(seconds))
    row = {
        "contender": name,
        "images_per_second": options.batch / timing.median,
        "median_ms": 1e3 * timing.median,
        "p20_ms": 1e3 * timing.quantile(0.2),
        "p80_ms": 1e3 * timing.quantile(0.8),
        "first_step_s": first,
        "memory_gib": _memory(ours) / 2**30,
        "first_loss": losses[0],
        "last_loss": losses[-1],
    }
    if ours:
        row["kernels"] = profile(step)
    return row


def _memory(ours: bool) -> int:
    """Bytes that the contender's library holds of the GPU's memory, its caches included."""
    if ours:
        free, total = library("cuda").cuda.runtime.memGetInfo()
        return int(total - free)  # a graph's own memory, and the driver's for it, included
    return torch.cuda.max_memory_reserved()


def profile(step: Step) -> list[dict[str, Any]]:
    """Every kernel of one step by its name, most time first; PyTorch's profiler sees all of the process."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    with profiled(activities=[ProfilerActivity.CUDA]) as profiler:
        step()
        torch.cuda.synchronize()
    rows = [
        {"kernel": event.key, "calls": event.count, "microseconds": float(event.self_device_time_total)}
        for event in profiler.key_averages()
    ]
    return sorted(rows, key=lambda row: -row["microseconds"])


def free(device: str) -> None:
    """Give all memory back to the GPU, for the next contender."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        library("cuda").get_default_memory_pool().free_all_blocks()


def show(row: dict[str, Any]) -> None:
    if "images_per_second" not in row:
        print(f"{row['contender']:14} {row.get('error') or row['note']}", flush=True)
        return
    print(
        f"{row['contender']:14} {row['images_per_second']:9.0f} images/s   {row['median_ms']:8.2f} ms a step "
        f"(p20 {row['p20_ms']:.2f}, p80 {row['p80_ms']:.2f})   {row['memory_gib']:.1f} GiB",
        flush=True,
    )
    for kernel in row.get("kernels", [])[:15]:
        print(f"    {kernel['microseconds']:9.0f} us {kernel['calls']:5} calls  {kernel['kernel'][:80]}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_training", description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cuda", "emulated"), default="cuda", help="default: %(default)s")
    parser.add_argument("--tiny", action="store_true", help="one step on two small images, without torch.compile")
    parser.add_argument("--batch", type=int, default=256, help="images (default %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="pixels a side (default %(default)s)")
    parser.add_argument("--precision", choices=("float32", "tf32", "bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args(arguments)
    names = [GRAPH, EAGER, COMPILED, OURS]  # the most important first, should the time run out
    if options.tiny:
        options.batch, options.size, names = 2, 32, [GRAPH, OURS, EAGER]
    torch.backends.cudnn.benchmark = True  # PyTorch may look for its fastest convolutions
    print(f"GoogLeNet, {options.precision}, batch {options.batch}, {options.size}x{options.size}", flush=True)
    rows: list[dict[str, Any]] = []
    for name in names:
        try:
            rows.append(measure(name, options))
        except (MemoryError, RuntimeError, mg.MinigradError) as error:
            rows.append({"contender": name, "error": f"{type(error).__name__}: {error}"})
        show(rows[-1])
        free(options.device)
        if options.json is not None:
            settings = {key: str(value) for key, value in vars(options).items()}
            options.json.write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n")
    return 0 if all("error" not in row for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
