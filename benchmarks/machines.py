"""What several machines measured, side by side: a table in Markdown, as the README has it.

    python -m benchmarks.machines benchmarks/results/googlenet-cpu-*.json

Each file is of `benchmarks.googlenet --json`; files of one processor are put together. A cell is minigrad's time,
and its speed over the fastest PyTorch in the same run; the last column is the range of these ratios.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import OURS
from benchmarks.googlenet import ratios_over_the_best


def markdown(documents: Sequence[dict[str, Any]]) -> str:
    """The table of all jobs; a column a processor."""
    columns: dict[str, dict[str, tuple[float, float]]] = {}  # processor: job: (milliseconds, ratio)
    memories: dict[str, str] = {}
    for document in documents:
        times = {row["job"]: row["median_ms"] for row in document["rows"] if row["contender"] == OURS}
        ratios = ratios_over_the_best(document["rows"])
        column = columns.setdefault(document["environment"]["processor"], {})
        column |= {job: (times[job], ratio) for job, ratio in ratios.items()}
        if memory := document["peak_memory_mb"]:
            others = min(megabytes for name, megabytes in memory.items() if "torch" in name.lower())
            text = f"{memory[OURS]:.0f} MB, PyTorch {others:.0f} MB"
            memories.setdefault(document["environment"]["processor"], text)
    jobs = list(dict.fromkeys(job for column in columns.values() for job in column))
    lines = ["| | " + " | ".join([*columns, "range"]) + " |", "|---" * (len(columns) + 2) + "|"]
    for job in jobs:
        found = [column.get(job) for column in columns.values()]
        cells = ["" if cell is None else f"{cell[0]:.0f} ms, {cell[1]:.2f}x" for cell in found]
        ratios_here = [cell[1] for cell in found if cell is not None]
        spread = f"{min(ratios_here):.2f} to {max(ratios_here):.2f}" if len(ratios_here) > 1 else ""
        lines.append("| " + " | ".join([job, *cells, spread]) + " |")
    cells = [memories.get(processor, "") for processor in columns]
    return "\n".join([*lines, "| " + " | ".join(["peak memory in training", *cells, ""]) + " |"])


def main(arguments: Sequence[str]) -> None:
    if not arguments:
        sys.exit("benchmarks.machines: give the JSON files of benchmarks.googlenet")
    try:
        print(markdown([json.loads(Path(name).read_text()) for name in arguments]))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"benchmarks.machines: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
