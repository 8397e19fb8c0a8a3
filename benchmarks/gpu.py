"""Everything that needs a GPU, in under ten minutes: tests, parity with PyTorch, throughput, kernels by layer.

    python -m benchmarks.gpu --out FOLDER [--only tests training] [--again]
    python -m benchmarks.gpu --out FOLDER --device emulated --tiny        without a GPU: nothing is timed

Parts run one after the other, the most important first, each in a process of its own with its own time limit: one
that fails, hangs or spoils the GPU does not stop the next. What a part has found is in its file at any time.
Called again with the same folder, parts that are done at this commit are left alone.

    tests      pytest -m gpu                                                    tests.xml
    parity     GoogLeNet at 224x224 against PyTorch, layers and ten steps       parity.json
    training   images/s at batch 256 in bfloat16 beside PyTorch; kernel times   training.json
    layers     each kernel on each of GoogLeNet's layers beside cuDNN           layers.json
    counters   Nsight Compute on some kernels, where ncu is installed           (in log.txt)

log.txt has all that was printed, results.json environment and state of the parts, summary.md what to read first.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO
from xml.etree import ElementTree

from minigrad.workbench.environment import environment

# What the layers part measures, at fewer images than training has: arguments are drawn on the host.
LAYERS = (
    *("--dtype", "bfloat16", "--batch", "64", "--seconds", "0.05", "--operations"),
    *("conv2d_forward", "conv2d_input_gradient", "conv2d_weight_gradient"),
    *("batch_norm_forward_training", "batch_norm_backward_training"),
    *("max_pool2d_forward", "max_pool2d_input_gradient", "concat"),
)
# The program whose kernels are counted.
COUNTED = (
    *(sys.executable, "-m", "benchmarks.layers", "--device", "cuda", "--dtype", "bfloat16", "--batch", "32"),
    "--without-torch",
)
ROOT = Path(__file__).parents[1]
UNHURRIED = 5  # how much longer parts may take in the emulator, which nobody pays for by the second
GRACE = 10  # seconds to write down what there is, after an interruption


@dataclass(frozen=True)
class Part:
    """A command with its time limit in seconds; `extra` is added to the environment's variables."""

    name: str
    limit: float
    command: list[str]
    extra: dict[str, str] = field(default_factory=dict)


def parts(options: argparse.Namespace) -> list[Part]:
    """The most important first. The limits add up to less than ten minutes."""
    out, python = options.out, [sys.executable, "-m"]
    where = ["--device", options.device, *(["--tiny"] if options.tiny else [])]

    def program(name: str, limit: float, module: str, *more: str) -> Part:
        return Part(
            name, limit, [*python, f"benchmarks.{module}", *where, "--json", str(out / f"{name}.json"), *more]
        )

    tests = [*python, "pytest", "-m", "gpu", "-q", "-rfE", "--maxfail=50", f"--junitxml={out / 'tests.xml'}"]
    if options.device == "emulated":
        extra = {"MINIGRAD_GPU_TESTS": "stand-in"}
        tests.append("tests/cuda/test_cupy_engine.py")
    else:
        extra = {}
        tests += ["tests/gpu", "tests/kernels", "tests/cuda"]
        if importlib.util.find_spec("xdist") is not None:
            tests += [
                "-n",
                str(min(8, os.cpu_count() or 1)),
            ]  # most of the time goes to NVRTC, one thread a kernel
    return [
        Part("tests", 200, tests, extra),
        program("parity", 110, "gpu_parity"),
        program("training", 150, "gpu_training"),
        program("layers", 90, "layers", *LAYERS),
        Part("counters", 40, counters()),
    ]


def counters() -> list[str]:
    """Nsight Compute on the first convolutions' kernels; it replays each kernel several times."""
    return [
        *("ncu", "--clock-control", "none", "--section", "SpeedOfLight", "--section", "Occupancy"),
        *("--kernel-name", "regex:forward|gradient|gemm", "--launch-count", "12"),
        *COUNTED,
    ]


def run(part: Part, log: TextIO, tiny: bool = False) -> dict[str, Any]:
    """Run one part, with its output in `log` and on the screen; its state."""
    started = time.perf_counter()
    if shutil.which(part.command[0]) is None:
        return {"status": "skipped", "why": f"there is no {part.command[0]} here", "seconds": 0.0}
    limit = part.limit * (UNHURRIED if tiny else 1)
    process = subprocess.Popen(
        part.command, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1", **part.extra}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, errors="replace",
    )  # fmt: skip
    late = threading.Event()

    def stop(sign: int) -> None:
        late.set()
        if process.poll() is None:
            os.killpg(process.pid, sign)

    # pytest writes its report when it is interrupted.
    timers = [
        threading.Timer(limit, stop, [signal.SIGINT]),
        threading.Timer(limit + GRACE, stop, [signal.SIGKILL]),
    ]
    for timer in timers:
        timer.daemon = True
        timer.start()
    assert process.stdout is not None
    try:
        for line in process.stdout:
            log.write(line)
            log.flush()
            print(line, end="", flush=True)
        code = process.wait()
    finally:
        for timer in timers:
            timer.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    status = "time ran out" if late.is_set() else "done" if code == 0 else "failed"
    return {"status": status, "exit": code, "seconds": round(time.perf_counter() - started, 1)}


def stamp(options: argparse.Namespace) -> dict[str, Any]:
    """The environment, the GPU's part of it from a process that ends again.

    Raises:
        RuntimeError: if the device is not there; with the words that say why.
    """
    command = [sys.executable, "-m", "benchmarks.gpu_stamp", options.device]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no words")
    gpu = json.loads(done.stdout.strip().splitlines()[-1])
    return {**environment(os.cpu_count() or 1), "gpu": gpu, "tiny": options.tiny}


def summary(out: Path, results: dict[str, Any]) -> str:
    """results.json and the parts' files as a page to read."""
    env = results["environment"]
    lines = ["# GPU results", "", f"{env['gpu']['device']}; commit {env['commit']}; {env['date']}", ""]
    if "note" in env["gpu"]:
        lines += [f"**{env['gpu']['note']}**", ""]
    lines += ["| part | state | seconds | found |", "| --- | --- | --- | --- |"]
    for name, state in results["parts"].items():
        found = FOUND[name](out) if state["status"] != "skipped" else state["why"]
        lines.append(f"| {name} | {state['status']} | {state['seconds']} | {found} |")
    lines += [
        "",
        "Counters of one kernel: `" + " ".join(counters()[1 : -len(COUNTED)]) + " PROGRAM` after `ncu`.",
        "",
    ]
    lines += ["```json", json.dumps(env, indent=1), "```", ""]
    return "\n".join(lines)


def _tests(out: Path) -> str:
    suite = ElementTree.parse(out / "tests.xml").getroot().find("testsuite")
    if suite is None:
        return "no report"
    counts = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
    return ", ".join(f"{number} {key}" for key, number in counts.items())


def _parity(out: Path) -> str:
    found = json.loads((out / "parity.json").read_text())
    columns = [column for value in found.values() if isinstance(value, dict) for column in value.items()]
    return "; ".join(f"{title}: losses {errors['worst']['losses']:.1e}" for title, errors in columns)


def _training(out: Path) -> str:
    rows = json.loads((out / "training.json").read_text())["rows"]
    return "; ".join(
        f"{row['contender']} {row['images_per_second']:.0f} images/s"
        if "images_per_second" in row
        else f"{row['contender']} {row.get('error', 'ran, not timed')}"
        for row in rows
    )


def _layers(out: Path) -> str:
    rows = json.loads((out / "layers.json").read_text())["rows"]
    ours = [row for row in rows if row["verdict"] != "yardstick"]
    return f"{len(ours)} shapes, {sum(row['verdict'] != 'right' for row in ours)} wrong"


def _safely(read: Any) -> Any:
    def found(out: Path) -> str:
        try:
            return str(read(out)).replace("|", "/").replace("\n", " ")
        except (OSError, ValueError, KeyError, ElementTree.ParseError) as error:
            return f"nothing to read ({type(error).__name__})"

    return found


FOUND = {
    "tests": _safely(_tests),
    "parity": _safely(_parity),
    "training": _safely(_training),
    "layers": _safely(_layers),
    "counters": lambda out: "see log.txt",
}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT", "gpu-results"), help="default: $OUT")
    parser.add_argument("--device", choices=("cuda", "emulated"), default="cuda", help="default: %(default)s")
    parser.add_argument("--tiny", action="store_true", help="small shapes, to try the script itself")
    parser.add_argument("--only", nargs="+", choices=tuple(FOUND), default=list(FOUND), help="parts; default: all")
    parser.add_argument("--again", action="store_true", help="run parts that are done already, too")
    options = parser.parse_args(arguments)
    if options.device == "emulated" and not options.tiny:
        parser.error("--device emulated takes days with full shapes; add --tiny")
    options.out = Path(options.out).resolve()
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        env = stamp(options)
        options.out.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        print(f"benchmarks.gpu: {error}", file=sys.stderr)
        return 1
    file = options.out / "results.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    same = results.get("environment", {})
    if (same.get("commit"), same.get("gpu")) != (env["commit"], env["gpu"]) or options.again:
        results = {"parts": {}}
    results["environment"] = env
    with (options.out / "log.txt").open("a") as log:
        for part in parts(options):
            before = results["parts"].get(part.name, {}).get("status")
            if part.name not in options.only or before == "done":
                continue
            if part.name == "counters" and options.device == "emulated":
                results["parts"][part.name] = {"status": "skipped", "why": "no GPU, no counters", "seconds": 0.0}
                continue
            heading = f"\n==== {part.name}: at most {part.limit:.0f} s: {' '.join(part.command)}\n"
            print(heading, end="", flush=True)
            log.write(heading)
            state = results["parts"][part.name] = run(part, log, options.tiny)
            print(f"==== {part.name}: {state['status']} after {state['seconds']} s", flush=True)
            file.write_text(json.dumps(results, indent=1) + "\n")
            (options.out / "summary.md").write_text(summary(options.out, results))
    file.write_text(json.dumps(results, indent=1) + "\n")
    text = summary(options.out, results)
    (options.out / "summary.md").write_text(text)
    print(text)
    states = [state["status"] for state in results["parts"].values()]
    return 0 if all(state in ("done", "skipped") for state in states) else 1


if __name__ == "__main__":
    sys.exit(main())
