"""The rows of one operation as a picture: the roofline with every variant on it, and bars layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from minigrad.kernels.errors import MinigradError

from .roofline import Ceilings
from .rows import Row

SUFFIXES = (".png", ".svg")
LONGEST_NAME = 48


def plot(path: Path, rows: Sequence[Row], ceilings: Ceilings) -> list[Path]:
    """Write a picture for each operation; gives the files: PATH, or where there are several, PATH-OPERATION.

    Raises:
        MinigradError: if nothing was timed, or a file cannot be written.
    """
    timed = [row for row in rows if row.median_ms is not None]
    if not timed:
        raise MinigradError(f"--plot {path}: nothing was timed, so there is nothing to draw")
    operations = list(dict.fromkeys(row.operation for row in timed))
    files = []
    for operation in operations:
        file = path if len(operations) == 1 else path.with_name(f"{path.stem}-{operation}{path.suffix}")
        figure = draw([row for row in timed if row.operation == operation], ceilings)
        try:
            figure.savefig(file, dpi=110)
        except OSError as error:
            raise MinigradError(f"cannot write {file}: {error.strerror}") from error
        files.append(file)
    return files


def draw(rows: Sequence[Row], ceilings: Ceilings) -> Figure:
    """The picture of one operation's timed rows."""
    variants = list(dict.fromkeys(row.variant for row in rows))
    layers = list(dict.fromkeys(row.layer for row in rows))
    bars = len(layers) * (len(variants) + 1)
    figure = Figure(figsize=(16, max(6.0, 0.16 * bars + 1.5)), layout="constrained")
    FigureCanvasAgg(figure)
    roofline, times = figure.subplots(1, 2)
    colours = {variant: f"C{number}" for number, variant in enumerate(variants)}
    first = rows[0]
    figure.suptitle(f"{first.operation} on {first.device}, {first.dtype}, {first.cache} cache")
    _draw_roofline(roofline, rows, ceilings, colours)
    _draw_times(times, rows, layers, colours)
    return figure


def _draw_roofline(axes: Any, rows: Sequence[Row], ceilings: Ceilings, colours: dict[str, str]) -> None:
    """Operations a byte against operations a second; what moves bytes only has no place there."""
    axes.set(
        xlabel="additions and multiplications a byte", ylabel="GFLOP/s",
        title=f"roofline: {1e-9 * ceilings.bandwidth:.1f} GB/s and {1e-9 * ceilings.peak:.0f} GFLOP/s, measured",
    )  # fmt: skip
    points = [row for row in rows if row.work]
    if not points:
        axes.text(0.5, 0.5, "this operation computes nothing", ha="center", transform=axes.transAxes)
        return
    intensities = [row.work / row.bytes_moved for row in points]
    ridge = ceilings.peak / ceilings.bandwidth
    x = np.geomspace(min(*intensities, ridge) / 2, max(*intensities, ridge) * 2, 200)
    axes.loglog(x, 1e-9 * np.minimum(ceilings.peak, ceilings.bandwidth * x), color="black", linewidth=1)
    for variant, colour in colours.items():
        own = [row for row in points if row.variant == variant]
        axes.plot(
            [row.work / row.bytes_moved for row in own], [row.gflops for row in own],
            "o", markersize=5, alpha=0.7, color=colour, label=variant,
        )  # fmt: skip
    axes.grid(which="major", alpha=0.3)
    axes.legend(loc="lower right")


def _draw_times(axes: Any, rows: Sequence[Row], layers: Sequence[str], colours: dict[str, str]) -> None:
    """A bar a layer and variant, from the fastest possible on; the whisker is p20 to p80."""
    height = 1 / (len(colours) + 1)
    for number, (variant, colour) in enumerate(colours.items()):
        own = {row.layer: row for row in rows if row.variant == variant}
        places = [layers.index(layer) + (number + 0.5) * height - 0.5 for layer in own]
        medians = np.array([row.median_ms for row in own.values()])
        low = medians - np.array([row.p20_ms for row in own.values()])
        high = np.array([row.p80_ms for row in own.values()]) - medians
        axes.barh(
            places, medians, height, xerr=(low, high), color=colour, label=variant,
            error_kw={"linewidth": 0.8, "ecolor": "black"},
        )  # fmt: skip
    shown = [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..." for name in layers]
    axes.set_yticks([number - height / 2 for number in range(len(layers))], shown, fontsize=7)
    axes.set(xlabel="milliseconds (median; whiskers p20 to p80)", title="time of a call", xscale="log")
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="best")
