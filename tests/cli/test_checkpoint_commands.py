"""minigrad eval and predict use a checkpoint and nothing else of the run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from claims.commands import Run, assert_fails
from claims.tiny import TEST_IMAGES, options, register, write_images
from minigrad.cli import main
from minigrad.data import read_image
from minigrad.train.checkpoint import read_weights, write_weights
from minigrad.train.metrics import read_metrics
from minigrad.train.prediction import load_trained


@pytest.fixture(scope="module")
def checkpoint(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last weights of a run of 8 epochs."""
    register()
    runs = tmp_path_factory.mktemp("runs")
    assert main(["train", *options(images, "--epochs", "8", "--out", str(runs), "--name", "a")]) == 0
    return runs / "a" / "last.safetensors"


def test_eval_repeats_the_last_epochs_test(minigrad: Run, checkpoint: Path) -> None:
    record = read_metrics(checkpoint.parent / "metrics.jsonl")[-1]
    out = minigrad("eval", checkpoint).out
    assert f"test loss {record['test_loss']:.4f}  accuracy {record['test_accuracy']:.2%}" in out
    assert "amber |" in out


def test_eval_of_a_run_takes_its_best_weights(minigrad: Run, checkpoint: Path) -> None:
    best = max(record["test_accuracy"] for record in read_metrics(checkpoint.parent / "metrics.jsonl"))
    assert f"accuracy {best:.2%}" in minigrad("eval", checkpoint.parent).out


def test_eval_takes_other_data_of_the_same_classes(minigrad: Run, checkpoint: Path, tmp_path: Path) -> None:
    other = write_images(tmp_path / "other")
    for name in ("amber", "blue"):
        shutil.copy(other / "val" / "grey" / "0.png", other / "val" / name / "more.png")
    assert f"of {3 * TEST_IMAGES + 2})" in minigrad("eval", checkpoint, "--data", other).out


def test_eval_refuses_data_of_other_classes(minigrad: Run, checkpoint: Path) -> None:
    assert_fails(minigrad("eval", checkpoint, "--data", "digits"), "amber", "10 classes (0, 1, 2, 3, 4, ...)")


def test_eval_names_data_that_is_gone(minigrad: Run, checkpoint: Path, tmp_path: Path) -> None:
    assert_fails(minigrad("eval", checkpoint, "--data", tmp_path / "gone"), tmp_path / "gone", status=2)


def test_predict_shows_the_most_probable_classes_first(minigrad: Run, checkpoint: Path, images: Path) -> None:
    pictures = [images / "val" / "amber" / "0.png", images / "val" / "blue" / "1.png"]
    lines = minigrad("predict", checkpoint, *pictures, "--top", "2").out.splitlines()[1:]
    assert lines[0::3] == [str(picture) for picture in pictures]
    assert [lines[1].split()[1], lines[4].split()[1]] == ["amber", "blue"]
    shares = [float(line.split()[0].rstrip("%")) for line in (lines[1], lines[2])]
    assert shares[0] > shares[1]


def test_predict_shows_all_classes_where_there_are_fewer_than_asked_for(
    minigrad: Run, checkpoint: Path, images: Path
) -> None:
    lines = minigrad("predict", checkpoint, images / "val" / "blue" / "0.png").out.splitlines()
    assert {line.split()[1] for line in lines[2:]} == {"amber", "blue", "grey"}


def test_every_command_says_where_it_computes(
    minigrad: Run, checkpoint: Path, images: Path, tmp_path: Path
) -> None:
    picture = images / "val" / "blue" / "0.png"
    for command in (
        ["train", *options(images, "--epochs", "1", "--out", str(tmp_path))],
        ["eval", checkpoint],
        ["predict", checkpoint, picture],
    ):
        line = minigrad(*command, "--device", "cpu", "--threads", "1").out.splitlines()[0]
        assert line.endswith("classes; cpu, 1 threads") and line.startswith("TinyNet")


def test_probabilities_are_those_of_the_test(checkpoint: Path, images: Path) -> None:
    trained = load_trained(checkpoint)
    probabilities = trained.probabilities(read_image(images / "val" / "grey" / "0.png"))
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)  # a sum of three float64
    assert np.all(probabilities > 0)


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["predict", "a.safetensors", "x.png", "--top", "0"], "--top"),
        (["predict", "a.safetensors"], "IMAGE"),
        (["eval"], "CHECKPOINT"),
        (["eval", "a.safetensors", "--batch-size", "0"], "--batch-size"),
        (["eval", "a.safetensors", "--threads", "0"], "--threads"),
    ],
)
def test_options_without_meaning_are_named(minigrad: Run, arguments: list[str], phrase: str) -> None:
    assert_fails(minigrad(*arguments), phrase, status=2)


def test_predict_refuses_weights_that_are_not_finite(
    minigrad: Run, checkpoint: Path, images: Path, tmp_path: Path
) -> None:
    weights, description = read_weights(checkpoint)
    name = next(name for name, array in weights.items() if array.dtype.kind == "f")
    write_weights(tmp_path / "nan.safetensors", {**weights, name: weights[name] * np.nan}, description)
    picture = next(images.rglob("*.png"))
    assert_fails(minigrad("predict", tmp_path / "nan.safetensors", picture), name, "not finite")


def test_predict_refuses_fewer_class_names_than_classes(
    minigrad: Run, checkpoint: Path, images: Path, tmp_path: Path
) -> None:
    weights, description = read_weights(checkpoint)
    write_weights(tmp_path / "few.safetensors", weights, {**description, "class_names": ["one"]})
    picture = next(images.rglob("*.png"))
    assert_fails(minigrad("predict", tmp_path / "few.safetensors", picture), "names 1 classes")
