"""Train and run GoogLeNet beside PyTorch, in one process, taking turns.

    python -m benchmarks.googlenet [--batch 16] [--rounds 7] [--no-compile] [--no-scaling] [--json FILE]

Jobs: a training step (forward with auxiliary losses, backward, SGD with momentum) with a batch and with four times
as many images, inference with the batch and with one image, and a training step of `minigrad train`'s defaults, 32
digits of 64x64, with its loader. Contenders: minigrad as `minigrad train` and `minigrad eval` run it, captured;
the same operation by operation; PyTorch eager with NCHW and channels-last tensors; and torch.compile, channels
last, with the batch and with one image. All have the same weights and number of threads, and before anything is
timed their outputs are compared. Peak memory is that of a process of its own for each contender but the compiled
one, which takes three training steps. Then, beside PyTorch channels last: inference with 1 to 128 images, and
training and inference with one thread and with all. The whole takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch  # before minigrad, whose choice of how threads wait shall not be PyTorch's
from tqdm import tqdm

import minigrad as mg
from benchmarks.contenders import (
    CHANNELS_LAST,
    COMPILED,
    NCHW,
    ONE_BY_ONE,
    OURS,
    Job,
    images_and_labels,
    our_model,
    our_steps,
    step_of,
    torch_steps,
)
from benchmarks.timing import Timing, alternate
from minigrad import nn
from minigrad.kernels.errors import MinigradError
from minigrad.kernels.registry import set_default_kernels
from minigrad.workbench.environment import environment

SCALING = (1, 2, 4, 8, 16, 32, 64, 128)


def compare_outputs(names: Sequence[str], size: int) -> float:
    """The largest norm error of minigrad's logits against PyTorch's, with weights as after a first step.

    Raises:
        MinigradError: if they do not compute the same, for then their times mean nothing.
    """
    model = our_model()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # fresh running statistics would shrink activations to nothing
    job = Job("inference", 4, size)
    images, _ = images_and_labels(job)
    with mg.no_grad():
        model(mg.asarray(images))
    ours = our_steps(model, job)()
    weights = {key: value.numpy() for key, value in model.state_dict().items()}
    theirs = [torch_steps(name, weights, job)() for name in names if "torch" in name.lower()]
    worst = max(float(np.linalg.norm(ours - other) / np.linalg.norm(other)) for other in theirs)
    # Float32 has 6e-8 of relative precision; 60 layers and Winograd's transforms lose two to three digits of it.
    if not worst < 1e-3:
        raise MinigradError(f"the contenders' logits differ by {worst:.1e} of their norm; nothing was timed")
    return worst


def main_jobs(batch: int, size: int) -> list[Job]:
    return [
        Job("training", batch, size),
        Job("training", 4 * batch, size),
        Job("inference", batch, size),
        Job("inference", 1, size),
        Job("training", 32, 64, 10, digits=True),
    ]


Part = tuple[Sequence[str], Job, int]  # contenders, what they do, and with how many threads


def main_parts(options: argparse.Namespace) -> list[Part]:
    eager = [OURS, ONE_BY_ONE, NCHW, CHANNELS_LAST]
    names = [*eager, *([] if options.no_compile else [COMPILED])]
    return [
        (names if job.batch in (1, options.batch) else eager, job, options.threads)
        for job in main_jobs(options.batch, options.size)
    ]


def scaling_parts(options: argparse.Namespace) -> list[Part]:
    names = [OURS, CHANNELS_LAST]
    growing = [(names, Job("inference", batch, options.size), options.threads) for batch in SCALING]
    kinds = [Job("training", options.batch, options.size), Job("inference", options.batch, options.size)]
    return [*growing, *((names, job, threads) for job in kinds for threads in (1, options.threads))]


def measure(names: Sequence[str], job: Job, rounds: int, threads: int) -> list[dict[str, Any]]:
    """Rows of the contenders' times at a job, with so many threads."""
    mg.set_num_threads(threads)
    torch.set_num_threads(threads)
    turns = rounds if job.batch > 1 else 4 * rounds
    steps = {name: step_of(name, job) for name in names}
    with tqdm(total=(turns + 3) * len(names), desc=f"{job.label}, {threads} threads", leave=False) as bar:
        # A captured step is made one by one, then recorded, and only then what it will be.
        timings = alternate(steps, turns, warm_up=3, progress=bar.update)
    return [row_of(job, threads, name, timings) for name in names]


def row_of(job: Job, threads: int, name: str, timings: dict[str, Timing]) -> dict[str, Any]:
    timing = timings[name]
    return {
        "job": job.label,
        "threads": threads,
        "contender": name,
        "median_ms": 1e3 * timing.median,
        "p20_ms": 1e3 * timing.quantile(0.2),
        "p80_ms": 1e3 * timing.quantile(0.8),
        "images_per_second": job.batch / timing.median,
        "minigrad_speed_over_this": timing.median / timings[OURS].median,
        "seconds": timing.seconds,
    }


def peak_memory(name: str, arguments: argparse.Namespace) -> float:
    """Megabytes (10^6 bytes) at the peak of a process that takes three training steps."""
    command = [sys.executable, "-m", "benchmarks.googlenet", "--memory-of", name]
    for option in ("batch", "size", "threads", "kernels"):
        command += [f"--{option}", str(getattr(arguments, option))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise MinigradError(f"the memory measurement of {name} failed: {done.stderr.strip()[-300:]}")
    return float(done.stdout)


def own_peak_memory() -> float:
    """Megabytes (10^6 bytes). Not getrusage's figure, which starts a child process at its parent's peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def print_own_peak(name: str, batch: int, size: int) -> None:
    step = step_of(name, Job("training", batch, size))
    for _ in range(3):
        step()
    print(own_peak_memory())


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.googlenet", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--batch", type=int, default=16, help="images a step (default 16)")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images (default 224)")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds of each contender (default 7)")
    parser.add_argument("--threads", type=int, default=mg.get_num_threads(), help="threads of every contender")
    parser.add_argument("--kernels", default="", help="variants to use, such as conv2d=im2col (default: the best)")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    parser.add_argument("--no-scaling", action="store_true", help="leave out 1 to 128 images, and one thread")
    parser.add_argument("--jobs", default="", help="only jobs that have this in their name, such as digits")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def table(rows: Sequence[dict[str, Any]]) -> str:
    heads = f"{'median ms':>10}{'p20':>8}{'p80':>8}{'images/s':>10}{'ours is':>9}"
    lines = [f"{'job':<22}{'threads':>7}  {'contender':<29}{heads}"]
    for row in rows:
        ratio = "" if row["contender"] == OURS else f"{row['minigrad_speed_over_this']:.2f}x"
        lines.append(
            f"{row['job']:<22}{row['threads']:>7}  {row['contender']:<29}{row['median_ms']:>10.1f}"
            f"{row['p20_ms']:>8.1f}{row['p80_ms']:>8.1f}{row['images_per_second']:>10.1f}{ratio:>9}"
        )
    return "\n".join(lines)


def ratios_over_the_best(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Our speed over that of PyTorch's fastest contender, by job."""
    ratios: dict[str, float] = {}
    for row in rows:
        if "torch" in row["contender"].lower():
            ratio = row["minigrad_speed_over_this"]
            ratios[row["job"]] = min(ratio, ratios.get(row["job"], ratio))
    return ratios


def over_the_best(rows: Sequence[dict[str, Any]]) -> str:
    """Our speed over that of PyTorch's fastest contender, a line a job."""
    return "\n".join(f"  {job:<29}{ratio:>8.2f}x" for job, ratio in ratios_over_the_best(rows).items())


def report(document: dict[str, Any]) -> str:
    stamp = document["environment"]
    parts = [
        f"{stamp['processor']}; {stamp['versions']}; {stamp['date']}\n"
        f"norm error of the logits between contenders: {document['error']:.1e}",
        table(document["rows"]),
        "speed over the fastest PyTorch\n" + over_the_best(document["rows"]),
        "peak memory of a process in training (MB)\n"
        + "\n".join(f"  {name:<29}{megabytes:>8.0f}" for name, megabytes in document["peak_memory_mb"].items()),
    ]
    return "\n\n".join([*parts, *([table(document["scaling"])] if document["scaling"] else [])])


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    mg.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    set_default_kernels(options.kernels, "--kernels")
    if options.memory_of:
        print_own_peak(options.memory_of, options.batch, options.size)
        return
    parts = {"rows": main_parts(options), "scaling": [] if options.no_scaling else scaling_parts(options)}
    known = {job.label: None for part in parts.values() for _, job, _ in part}
    if not any(options.jobs in label for label in known):
        raise MinigradError(f"--jobs: none has {options.jobs!r} in its name; there are: {'; '.join(known)}")
    contenders = sorted({name for part in parts.values() for names, _, _ in part for name in names})
    document: dict[str, Any] = {"environment": environment(options.threads)}
    document["error"] = compare_outputs(contenders, options.size)
    for kind, part in parts.items():
        document[kind] = []
        for names, job, threads in part:
            if options.jobs not in job.label:
                continue
            document[kind] += measure(names, job, options.rounds, threads)
            keep(document, options.json)
    eager = [name for name in parts["rows"][0][0] if name != COMPILED]
    document["peak_memory_mb"] = {name: peak_memory(name, options) for name in eager}
    keep(document, options.json)
    print(report(document))


def keep(document: dict[str, Any], path: Path | None) -> None:
    """Write what has been measured so far, lest an interruption take it along."""
    if path:
        path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (MinigradError, OSError, ValueError) as problem:
        sys.exit(f"benchmarks.googlenet: {problem}")
