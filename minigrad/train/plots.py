"""Pictures of a run: its curves and its confusion matrix, as PNG files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .atomic_file import write_atomically

TRAIN_COLOUR, TEST_COLOUR = "#8a94a6", "#0b6e99"
INK, GRID = "#2b303a", "#e4e7ec"
DOTS_PER_INCH = 144
# Up to this many classes, a matrix's counts can be read inside its cells.
MOST_WRITTEN_CLASSES = 20


def plot_curves(path: str | Path, records: Sequence[Mapping[str, Any]], title: str) -> None:
    """Draw loss and accuracy over the epochs of `records`, the lines of metrics.jsonl, into the PNG `path`.

    Raises:
        MinigradError: the file cannot be written.
    """
    # A Figure of its own, not pyplot's: no window system, no state shared with the program around it.
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    epochs = [record["epoch"] for record in records]
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        for part, colour, style in (("train", TRAIN_COLOUR, "--"), ("test", TEST_COLOUR, "-")):
            values = [record[f"{part}_{name}"] for record in records]
            axes.plot(epochs, values, style, color=colour, marker="o", markersize=3.5, linewidth=1.8, label=part)
        axes.set_title(name, loc="left", color=INK, fontsize=11)
        axes.set_xlabel("epoch", color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _plain(axes)
    loss.set_ylim(bottom=0)
    loss.legend(frameon=False, labelcolor=INK)
    lowest = min((record[f"{part}_accuracy"] for record in records for part in ("train", "test")), default=0.0)
    span = 1 - lowest
    accuracy.set_ylim(lowest - 0.08 * span - 0.001, 1 + 0.04 * span)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if span > 0.1 else 1))
    if records:
        best = max(record["test_accuracy"] for record in records)
        accuracy.set_title(f"best on test {best:.2%}", loc="right", color=TEST_COLOUR, fontsize=11)
    figure.suptitle(title, color=INK, fontsize=12, x=0.01, ha="left")
    _save(figure, path)


def plot_confusion(path: str | Path, matrix: np.ndarray, class_names: Sequence[str], title: str) -> None:
    """Draw a confusion `matrix` (rows true, columns predicted) into the PNG `path`, shaded by the row's shares.

    Raises:
        MinigradError: the file cannot be written.
    """
    classes = len(class_names)
    written = classes <= MOST_WRITTEN_CLASSES
    side = 2.2 + 0.42 * classes if written else 9.0
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if written:
        for (true, predicted), count in np.ndenumerate(matrix):
            if count:
                colour = "white" if shares[true, predicted] > 0.5 else INK
                axes.text(predicted, true, str(count), ha="center", va="center", color=colour, fontsize=9)
        rotation = 0 if max(map(len, class_names)) <= 2 else 90
        # A class is called as its folder: with bytes that are no text, perhaps, or with the signs of a formula.
        names = [name.encode(errors="replace").decode() for name in class_names]
        axes.set_xticks(range(classes), names, rotation=rotation, parse_math=False)
        axes.set_yticks(range(classes), names, parse_math=False)
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("true", color=INK)
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    _plain(axes)
    axes.grid(False)
    _save(figure, path)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(color=GRID, labelcolor=INK)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _save(figure: Figure, path: str | Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DOTS_PER_INCH)
    write_atomically(path, picture.getvalue())
