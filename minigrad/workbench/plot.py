"""The rows of one operation as a picture: the roofline with every variant on it, and bars layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from minigrad.kernels.errors import MinigradError

from .roofline import Ceilings
from .rows import Row
from .session import PYTORCH

SUFFIXES = (".png", ".svg")
MOST_IN_A_COLUMN = 8  # layers
ROOFLINE_HEIGHT = 5.0  # inches


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
    """The picture of one operation's timed rows: the roofline above, the times below in one column or two."""
    variants = sorted(dict.fromkeys(row.variant for row in rows), key=lambda name: name == PYTORCH)
    layers = list(dict.fromkeys(row.layer for row in rows))
    columns = 2 if len(layers) > MOST_IN_A_COLUMN else 1
    each = -(-len(layers) // columns)
    height = 0.9 + 0.11 * each * (len(variants) + 1.5)
    figure = Figure(figsize=(15, ROOFLINE_HEIGHT + height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, columns, height_ratios=[ROOFLINE_HEIGHT, height])
    colours = {variant: "0.6" if variant == PYTORCH else f"C{number}" for number, variant in enumerate(variants)}
    first = rows[0]
    figure.suptitle(f"{first.operation} on {first.device}, {first.dtype}, {first.cache} cache")
    roofline = figure.add_subplot(grid[0, :])
    _draw_roofline(roofline, rows, ceilings, colours)
    patches = [Patch(color=colour, label=variant) for variant, colour in colours.items()]
    roofline.legend(handles=patches, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    times: Any = None
    for column in range(columns):
        times = figure.add_subplot(grid[1, column], sharex=times)
        _draw_times(times, rows, layers[column * each : (column + 1) * each], colours)
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
            "o", markersize=5, alpha=0.7, color=colour,
        )  # fmt: skip
    axes.grid(which="major", alpha=0.3)


def _draw_times(axes: Any, rows: Sequence[Row], layers: Sequence[str], colours: dict[str, str]) -> None:
    """A bar for each variant of each layer; the whisker is p20 to p80."""
    place, ticks = 0.0, []
    for layer in layers:
        own = [row for row in rows if row.layer == layer]
        ticks.append(place + (len(own) - 1) / 2)
        for row in own:
            assert row.median_ms is not None
            assert row.p20_ms is not None
            assert row.p80_ms is not None
            whisker = [[row.median_ms - row.p20_ms], [row.p80_ms - row.median_ms]]
            lines = {"linewidth": 0.8, "ecolor": "0.25"}
            axes.barh(place, row.median_ms, 1.0, xerr=whisker, color=colours[row.variant], error_kw=lines)
            place += 1
        place += 1
    axes.set_yticks(ticks, [name.replace("  (", "\n(") for name in layers], fontsize=7)
    axes.set(xlabel="milliseconds (median; whiskers p20 to p80)", title="time of a call", xscale="log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.grid(axis="x", alpha=0.3)
