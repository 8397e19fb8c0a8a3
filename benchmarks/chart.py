"""A picture of what `benchmarks.googlenet --json` measured.

    python -m benchmarks.chart FILE.json PICTURE.png|svg

Above, a group of bars a job, a bar a contender: how many times the images a second of PyTorch's eager
channels-last. Below, where it was measured: inference from 1 image to 128, and what a second thread gives.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.contenders import CHANNELS_LAST, COMPILED, NCHW, OURS

COLORS = {OURS: "#1f6f8b", COMPILED: "#c46a2b", CHANNELS_LAST: "#d9a066", NCHW: "#d8cfc0"}
SMALL = 8  # points

Rows = list[dict[str, Any]]


def speeds_by_job(rows: Rows) -> dict[str, dict[str, float]]:
    """Images a second of each contender at each job."""
    speeds: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["contender"] in COLORS:
            speeds.setdefault(row["job"], {})[row["contender"]] = row["images_per_second"]
    return speeds


def draw_speeds(axes: Axes, speeds: dict[str, dict[str, float]]) -> None:
    names = [name for name in COLORS if any(name in found for found in speeds.values())]
    height = 0.8 / len(names)
    for place, found in enumerate(speeds.values()):
        for index, name in enumerate(names):
            if name not in found:
                continue
            y, ratio = place + (index - (len(names) - 1) / 2) * height, found[name] / found[CHANNELS_LAST]
            axes.barh(y, ratio, height * 0.92, color=COLORS[name], label=name if place == 0 else None)
            axes.text(ratio + 0.01, y, f"{found[name]:.1f}", va="center", fontsize=7)
    axes.set_yticks(range(len(speeds)), list(speeds))
    axes.invert_yaxis()
    axes.axvline(1, color="#888888", linewidth=0.6)
    axes.set_xlabel("speed over PyTorch eager, channels last; at the bars: images a second", fontsize=SMALL)
    axes.margins(x=0.08)


def draw_growth(axes: Axes, rows: Rows, threads: int) -> None:
    """Images a second of inference, over the number of images in a batch."""
    batches = [row for row in rows if row["job"].startswith("inference") and row["threads"] == threads]
    for name in (OURS, CHANNELS_LAST):
        speeds = {
            int(row["job"].split()[-1]): row["images_per_second"] for row in batches if row["contender"] == name
        }
        axes.plot(list(speeds), list(speeds.values()), "o-", color=COLORS[name], markersize=4)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(speeds), list(map(str, speeds)))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"inference: images in a batch ({threads} threads)", fontsize=SMALL)
    axes.set_ylabel("images a second", fontsize=SMALL)


def draw_threads(axes: Axes, rows: Rows) -> None:
    """Images a second with one thread and with all, of the jobs that were measured with both."""
    jobs = list(dict.fromkeys(row["job"] for row in rows if row["threads"] == 1))
    counts = sorted({row["threads"] for row in rows})
    for place, job in enumerate(jobs):
        for index, name in enumerate((OURS, CHANNELS_LAST)):
            for count in counts:
                (speed,) = [
                    row["images_per_second"]
                    for row in rows
                    if (row["job"], row["contender"], row["threads"]) == (job, name, count)
                ][-1:]
                x = place + 0.4 * index + 0.19 * counts.index(count)
                axes.bar(x, speed, 0.17, color=COLORS[name], alpha=0.55 if count == 1 else 1)
                axes.text(x, speed, f"{count}", ha="center", va="bottom", fontsize=7)
    axes.set_xticks([place + 0.295 for place in range(len(jobs))], jobs, fontsize=SMALL)
    axes.set_xlabel("number of threads, above the bars", fontsize=SMALL)


def draw(document: dict[str, Any], picture: Path) -> None:
    stamp, scaling = document["environment"], document.get("scaling") or []
    speeds = speeds_by_job(document["rows"])
    above = 0.8 + 0.7 * len(speeds)
    figure = plt.figure(figsize=(8, above + (2.6 if scaling else 0)), layout="constrained")
    if scaling:
        grid = figure.add_gridspec(2, 2, height_ratios=(above, 2.6))
        drawn = [figure.add_subplot(place) for place in (grid[0, :], grid[1, 0], grid[1, 1])]
        draw_growth(drawn[1], scaling, stamp["threads"])
        draw_threads(drawn[2], scaling)
    else:
        drawn = [figure.add_subplot()]
    draw_speeds(drawn[0], speeds)
    drawn[0].set_title(
        f"GoogLeNet, float32; {stamp['processor']}, {stamp['threads']} threads; {stamp['date'][:10]}", fontsize=9
    )
    for axes in drawn:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL)
    handles = drawn[0].get_legend_handles_labels()
    figure.legend(*handles, frameon=False, fontsize=SMALL, loc="outside lower center", ncols=4)
    figure.savefig(picture, dpi=130)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("benchmarks.chart: give the JSON file of benchmarks.googlenet and the picture to write")
    try:
        draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"benchmarks.chart: {error}")


if __name__ == "__main__":
    main()
