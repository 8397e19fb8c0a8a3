"""A picture of what `benchmarks.googlenet --json` measured.

    python -m benchmarks.chart FILE.json PICTURE.png|svg

A group of bars a job, a bar a contender: how many times the images a second of PyTorch's eager channels-last.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.contenders import CHANNELS_LAST, COMPILED, NCHW, OURS

COLORS = {OURS: "#1f6f8b", COMPILED: "#c46a2b", CHANNELS_LAST: "#d9a066", NCHW: "#d8cfc0"}


def draw(rows: list[dict], stamp: dict, picture: Path) -> None:
    threads = stamp["threads"]
    speeds: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["threads"] == threads and row["contender"] in COLORS:
            speeds.setdefault(row["job"], {})[row["contender"]] = row["images_per_second"]
    names = [name for name in COLORS if any(name in found for found in speeds.values())]
    figure, axes = plt.subplots(figsize=(8, 0.8 + 0.7 * len(speeds)), layout="constrained")
    height = 0.8 / len(names)
    for index, name in enumerate(names):
        for place, found in enumerate(speeds.values()):
            if name not in found:
                continue
            y, ratio = place + (index - (len(names) - 1) / 2) * height, found[name] / found[CHANNELS_LAST]
            axes.barh(y, ratio, height * 0.92, color=COLORS[name], label=name if place == 0 else None)
            axes.text(ratio + 0.01, y, f"{found[name]:.1f}", va="center", fontsize=7)
    axes.set_yticks(range(len(speeds)), speeds)
    axes.invert_yaxis()
    axes.axvline(1, color="#888888", linewidth=0.6)
    axes.set_xlabel("speed over PyTorch eager, channels last; at the bars: images a second", fontsize=8)
    axes.set_title(
        f"GoogLeNet, float32; {stamp['processor']}, {threads} threads; {stamp['date'][:10]}", fontsize=9
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=4
    )
    axes.margins(x=0.08)
    figure.savefig(picture, dpi=130)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("benchmarks.chart: give the JSON file of benchmarks.googlenet and the picture to write")
    try:
        document = json.loads(Path(sys.argv[1]).read_text())
        draw(document["rows"], document["environment"], Path(sys.argv[2]))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"benchmarks.chart: {error}")


if __name__ == "__main__":
    main()
