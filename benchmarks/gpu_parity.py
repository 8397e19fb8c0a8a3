"""GoogLeNet in minigrad and in PyTorch on the same device, layer by layer and for some steps of training.

    python -m benchmarks.gpu_parity [--device cuda] [--tiny] [--json FILE]

The truth is PyTorch in float64. An error of minigrad means something beside PyTorch's own in the same precision:
both round, and through 57 convolutions and batch norms roundings grow.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.parity import Errors, Experiment, losses_table, run_minigrad, run_torch, table

DTYPES = ("float32", "bfloat16")
FULL = Experiment(size=224, batch=4, steps=10)
TINY = Experiment(size=32, batch=2, steps=1)


def compare(experiment: Experiment, dtype: str, device: str, truth: Any) -> dict[str, Any]:
    """Print both frameworks' errors in `dtype`; the same as JSON."""
    theirs_on = "cuda" if device == "cuda" else "cpu"
    columns = {
        f"minigrad {dtype}": Errors.of(run_minigrad(experiment, dtype, device), truth),
        f"PyTorch {dtype}": Errors.of(run_torch(experiment, dtype, theirs_on), truth),
    }
    print(f"\n{table(columns)}\n\n{losses_table(columns, truth)}", flush=True)
    for title, errors in columns.items():
        print(
            f"{title}: worst errors: " + ", ".join(f"{key} {value:.1e}" for key, value in errors.worst().items())
        )
    return {
        title: {"worst": errors.worst(), "activations": dict(errors.activations), "losses": list(errors.losses)}
        for title, errors in columns.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_parity", description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cuda", "emulated"), default="cuda", help="default: %(default)s")
    parser.add_argument("--tiny", action="store_true", help="one step on two small images")
    parser.add_argument("--json", type=Path, help="write the errors to this file")
    options = parser.parse_args(arguments)
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # float32 means float32 here
    experiment = TINY if options.tiny else FULL
    print(f"{experiment}\ntruth: PyTorch {torch.__version__} in float64", flush=True)
    truth = run_torch(experiment, "float64", "cuda" if options.device == "cuda" else "cpu")
    found: dict[str, Any] = {"experiment": str(experiment), "losses": truth.losses}
    for dtype in DTYPES[:1] if options.tiny else DTYPES:
        found[dtype] = compare(experiment, dtype, options.device, truth)
        if options.json is not None:
            options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
