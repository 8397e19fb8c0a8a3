"""Train and run GoogLeNet beside PyTorch, in one process, taking turns.

    python -m benchmarks.googlenet [--batch 16] [--size 224] [--rounds 7] [--compile] [--json FILE]

Three jobs: a training step (forward with auxiliary losses, backward, SGD with momentum), inference with the same
batch, inference with one image. Contenders: minigrad as `minigrad train` and `minigrad eval` run it, captured; the
same operation by operation; PyTorch eager with NCHW and with channels-last tensors (with --compile also
torch.compile, channels last). All have the same weights and number of threads.
Before anything is timed, the contenders' outputs are compared. Peak memory is that of a process of its own
for each contender, which takes three training steps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch  # before minigrad, whose choice of how threads wait shall not be PyTorch's
from tqdm import tqdm

import minigrad as mg
from benchmarks.timing import Timing, alternate
from minigrad import nn, optim
from minigrad.kernels.errors import MinigradError
from minigrad.kernels.registry import set_default_kernels
from minigrad.models import GoogLeNet, loss
from minigrad.train.captured_step import CapturedStep
from minigrad.workbench.environment import environment

OURS, ONE_BY_ONE, NCHW, CHANNELS_LAST, COMPILED = (
    "minigrad",
    "minigrad, one by one",
    "PyTorch NCHW",
    "PyTorch channels_last",
    "torch.compile channels_last",
)
CLASSES, LEARNING_RATE, MOMENTUM = 1000, 0.01, 0.9
Step = Callable[[], Any]


def images_and_labels(batch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.standard_normal((batch, size, size, 3), dtype=np.float32).transpose(0, 3, 1, 2)
    return images, generator.integers(0, CLASSES, batch)


def our_model() -> nn.Module:
    mg.manual_seed(0)
    return GoogLeNet(num_classes=CLASSES)


def our_steps(model: nn.Module, job: str, batch: int, size: int, captured: bool = True) -> Step:
    images, labels = images_and_labels(batch, size)
    x, target = mg.asarray(images), mg.asarray(labels)
    if job == "inference":
        model.eval()
        run = nn.Captured(model) if captured else model

        def infer() -> Any:
            with mg.no_grad():
                return run(x).numpy()

        return infer
    optimizer = optim.SGD(list(model.parameters()), lr=LEARNING_RATE, momentum=MOMENTUM)
    model.train()
    if captured:
        step = CapturedStep(model, loss, optimizer)
        return lambda: step(images, labels).loss

    def train() -> Any:
        optimizer.zero_grad()
        loss(model(x), target).backward()
        optimizer.step()

    return train


def torch_steps(name: str, weights: dict[str, np.ndarray], job: str, batch: int, size: int) -> Step:
    from benchmarks.torch_googlenet import TorchGoogLeNet, torch_loss

    layout = torch.contiguous_format if name == NCHW else torch.channels_last
    model = TorchGoogLeNet(num_classes=CLASSES)
    model.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in weights.items()})
    model = model.to(memory_format=layout)
    images, labels = images_and_labels(batch, size)
    x = torch.from_numpy(np.ascontiguousarray(images)).to(memory_format=layout)
    target = torch.from_numpy(labels)
    run = torch.compile(model) if name == COMPILED else model
    if job == "inference":

        def infer() -> Any:
            model.eval()
            with torch.inference_mode():
                return run(x).numpy()

        return infer
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)

    def train() -> Any:
        model.train()
        optimizer.zero_grad()
        torch_loss(run(x), target).backward()
        optimizer.step()

    return train


def step_of(name: str, job: str, batch: int, size: int) -> Step:
    model = our_model()
    if name in (OURS, ONE_BY_ONE):
        return our_steps(model, job, batch, size, captured=name == OURS)
    weights = {key: value.numpy() for key, value in model.state_dict().items()}
    return torch_steps(name, weights, job, batch, size)


def compare_outputs(names: Sequence[str], size: int) -> float:
    """The largest norm error of minigrad's logits against PyTorch's, with weights as after a first step.

    Raises:
        MinigradError: if they do not compute the same, for then their times mean nothing.
    """
    model = our_model()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # fresh running statistics would shrink activations to nothing
    images, _ = images_and_labels(4, size)
    with mg.no_grad():
        model(mg.asarray(images))
    ours = our_steps(model, "inference", 4, size)()
    weights = {key: value.numpy() for key, value in model.state_dict().items()}
    theirs = [torch_steps(name, weights, "inference", 4, size)() for name in names if "torch" in name.lower()]
    worst = max(float(np.linalg.norm(ours - other) / np.linalg.norm(other)) for other in theirs)
    # Float32 has 6e-8 of relative precision; 60 layers and Winograd's transforms lose two to three digits of it.
    if not worst < 1e-3:
        raise MinigradError(f"the contenders' logits differ by {worst:.1e} of their norm; nothing was timed")
    return worst


def measure(names: Sequence[str], batch: int, size: int, rounds: int) -> list[dict[str, Any]]:
    jobs = {
        f"training, batch {batch}": ("training", batch),
        f"inference, batch {batch}": ("inference", batch),
        "inference, batch 1": ("inference", 1),
    }
    rows = []
    for label, (job, images) in jobs.items():
        turns = rounds if images > 1 else 4 * rounds
        steps = {name: step_of(name, job, images, size) for name in names}
        with tqdm(total=(turns + 2) * len(names), desc=label, leave=False) as bar:
            timings = alternate(steps, turns, progress=bar.update)
        rows += [row_of(label, images, name, timings) for name in names]
    return rows


def row_of(job: str, images: int, name: str, timings: dict[str, Timing]) -> dict[str, Any]:
    timing = timings[name]
    return {
        "job": job,
        "contender": name,
        "median_ms": 1e3 * timing.median,
        "p20_ms": 1e3 * timing.quantile(0.2),
        "p80_ms": 1e3 * timing.quantile(0.8),
        "images_per_second": images / timing.median,
        "minigrad_speed_over_this": timing.median / timings[OURS].median,
        "seconds": timing.seconds,
    }


def peak_memory(name: str, arguments: argparse.Namespace) -> float:
    """Megabytes (10^6 bytes) at the peak of a process that takes three training steps."""
    command = [sys.executable, "-m", "benchmarks.googlenet", "--memory-of", name]
    for option in ("batch", "size", "threads"):
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
    step = step_of(name, "training", batch, size)
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
    parser.add_argument(
        "--compile", action="store_true", help="also torch.compile, which takes minutes to compile"
    )
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def table(rows: Sequence[dict[str, Any]], memory: dict[str, float]) -> str:
    lines = [f"{'job':<22}{'contender':<29}{'median ms':>10}{'p20':>8}{'p80':>8}{'images/s':>10}{'ours is':>9}"]
    for row in rows:
        ratio = "" if row["contender"] == OURS else f"{row['minigrad_speed_over_this']:.2f}x"
        lines.append(
            f"{row['job']:<22}{row['contender']:<29}{row['median_ms']:>10.1f}{row['p20_ms']:>8.1f}"
            f"{row['p80_ms']:>8.1f}{row['images_per_second']:>10.1f}{ratio:>9}"
        )
    lines += ["", "peak memory of a process in training (MB)"]
    lines += [f"  {name:<29}{megabytes:>8.0f}" for name, megabytes in memory.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    mg.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    set_default_kernels(options.kernels, "--kernels")
    if options.memory_of:
        print_own_peak(options.memory_of, options.batch, options.size)
        return
    names = [OURS, ONE_BY_ONE, NCHW, CHANNELS_LAST, *([COMPILED] if options.compile else [])]
    error = compare_outputs(names, options.size)
    rows = measure(names, options.batch, options.size, options.rounds)
    memory = {name: peak_memory(name, options) for name in names}
    stamp = environment(options.threads)
    print(f"{stamp['processor']}; {options.threads} threads; {stamp['versions']}; {stamp['date']}")
    print(f"norm error of the logits between contenders: {error:.1e}\n")
    print(table(rows, memory))
    if options.json:
        document = {"environment": stamp, "error": error, "rows": rows, "peak_memory_mb": memory}
        options.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (MinigradError, OSError, ValueError) as problem:
        sys.exit(f"benchmarks.googlenet: {problem}")
