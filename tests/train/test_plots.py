"""The pictures of a run are PNG files that show what they should."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from minigrad.kernels.errors import MinigradError
from minigrad.train.plots import plot_confusion, plot_curves


def records(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": epoch,
            "train_loss": 2.0 / epoch,
            "test_loss": 1.0 / epoch,
            "train_accuracy": 1 - 0.5 / epoch,
            "test_accuracy": 1 - 0.3 / epoch,
        }
        for epoch in range(1, epochs + 1)
    ]


def is_a_picture(path: Path) -> None:
    """The file is a PNG with more than one colour, and no partial file lies beside it."""
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        assert image.format == "PNG"
        assert len(image.convert("L").getcolors() or []) > 10
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("epochs", [0, 1, 2, 60])
def test_curves_of_any_length_are_drawn(tmp_path: Path, epochs: int) -> None:
    plot_curves(tmp_path / "curves.png", records(epochs), "a run")
    is_a_picture(tmp_path / "curves.png")


def test_the_four_curves_hold_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {}
    plot = Axes.plot

    def record(axes: Axes, x: list[int], y: list[float], *arguments: object, **options: object) -> object:
        drawn[tuple(y)] = (list(x), options["label"])
        return plot(axes, x, y, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Axes, "plot", record)
    plot_curves(tmp_path / "curves.png", records(4), "a run")
    assert drawn == {
        tuple(line[f"{part}_{name}"] for line in records(4)): ([1, 2, 3, 4], part)
        for part in ("train", "test")
        for name in ("loss", "accuracy")
    }


@pytest.mark.parametrize("classes", [2, 10, 50])
def test_a_confusion_matrix_of_any_size_is_drawn(tmp_path: Path, classes: int) -> None:
    matrix = np.random.default_rng(0).integers(0, 9, (classes, classes))
    plot_confusion(tmp_path / "confusion.png", matrix, [f"class {index}" for index in range(classes)], "a run")
    is_a_picture(tmp_path / "confusion.png")


def test_a_picture_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MinigradError, match=r"cannot write .*curves\.png"):
        plot_curves(tmp_path / "nowhere" / "curves.png", records(2), "a run")


@pytest.mark.parametrize("name", ["$", "a $100 bill$", "$\\frac$", "bl\udcff", "a\nb", ""])
def test_a_class_may_have_any_name_that_a_folder_can_have(tmp_path: Path, name: str) -> None:
    plot_confusion(tmp_path / "confusion.png", np.array([[3, 1], [0, 4]]), [name, "other"], "a run")
    is_a_picture(tmp_path / "confusion.png")
