"""minigrad train leaves a folder of results, tells what it does, and refuses what has no meaning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from claims.commands import Run, assert_fails
from claims.tiny import TRAIN_IMAGES, options
from minigrad.train.checkpoint import read_weights

METRICS = [
    "epoch",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "images_per_second",
    "seconds",
]


def test_a_run_leaves_configuration_metrics_checkpoints_and_pictures(minigrad: Run, images: Path) -> None:
    result = minigrad("train", *options(images, "--epochs", "3", "--name", "first"))
    assert result.status == 0, result.err
    folder = Path("runs/first")
    assert {file.name for file in folder.iterdir() if file.name != ".lock"} == {
        "best.safetensors",
        "config.json",
        "confusion.png",
        "curves.png",
        "last.safetensors",
        "metrics.jsonl",
        "resume.safetensors",
    }
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [list(record) for record in records] == [METRICS] * 3
    assert [record["epoch"] for record in records] == [1, 2, 3]
    for picture in ("curves.png", "confusion.png"):
        with Image.open(folder / picture) as image:
            assert min(image.size) > 100
    weights, description = read_weights(folder / "best.safetensors")
    assert description["class_names"] == ["amber", "blue", "grey"]
    assert description["metrics"]["test_accuracy"] == max(record["test_accuracy"] for record in records)
    assert "stem.0.weight" in weights


def test_it_tells_the_model_the_data_each_epoch_and_the_confusions(minigrad: Run, images: Path) -> None:
    out = minigrad("train", *options(images, "--epochs", "2")).out
    for phrase in ("TinyNet", f"{3 * TRAIN_IMAGES} training", "epoch 1/2", "epoch 2/2", "images/s", "true |"):
        assert phrase in out
    assert "test accuracy" in out.splitlines()[-2]


def test_the_configuration_says_what_was_settled(minigrad: Run, images: Path) -> None:
    minigrad("train", *options(images, "--epochs", "1", "--optimizer", "rmsprop", "--threads", "1", "--name", "a"))
    config = json.loads(Path("runs/a/config.json").read_text())
    assert (config["lr"], config["momentum"], config["weight_decay"]) == (0.001, 0.0, 0.0)
    assert (config["device"], config["threads"], config["size"]) == ("cpu", 1, 12)
    assert config["data"] == str(images.resolve())


def test_runs_without_a_name_are_numbered(minigrad: Run, images: Path) -> None:
    for _ in range(2):
        assert minigrad("train", *options(images, "--epochs", "1")).status == 0
    stem = f"tiny-{images.name}"
    assert sorted(entry.name for entry in Path("runs").iterdir()) == [f"{stem}-1", f"{stem}-2"]


def test_a_taken_name_is_refused_and_nothing_is_touched(minigrad: Run, images: Path) -> None:
    minigrad("train", *options(images, "--epochs", "1", "--name", "a"))
    before = {file: file.read_bytes() for file in Path("runs/a").iterdir()}
    assert_fails(minigrad("train", *options(images, "--name", "a")), "runs/a", "--resume a")
    assert {file: file.read_bytes() for file in Path("runs/a").iterdir()} == before


@pytest.mark.parametrize(
    ("given", "phrases"),
    [
        (["--epochs", "0"], ["--epochs", "0"]),
        (["--epochs", "three"], ["--epochs", "three"]),
        (["--batch-size", "0"], ["--batch-size"]),
        (["--size", "-1"], ["--size", "-1"]),
        (["--lr", "nan"], ["--lr", "nan"]),
        (["--lr", "-0.1"], ["--lr", "-0.1"]),
        (["--momentum", "1"], ["--momentum"]),
        (["--momentum", "0.5", "--optimizer", "adam"], ["--momentum", "adam"]),
        (["--weight-decay", "-1"], ["--weight-decay"]),
        (["--warmup-epochs", "9"], ["--warmup-epochs 9", "--epochs"]),
        (["--decay-every", "0"], ["--decay-every"]),
        (["--decay-factor", "0"], ["--decay-factor"]),
        (["--decay-power", "-1"], ["--decay-power"]),
        (["--label-smoothing", "1"], ["--label-smoothing"]),
        (["--clip-norm", "0"], ["--clip-norm"]),
        (["--average-decay", "1"], ["--average-decay"]),
        (["--aux-weight", "inf"], ["--aux-weight"]),
        (["--seed", "-1"], ["--seed"]),
        (["--seed", str(2**64)], ["--seed", str(2**64)]),
        (["--out", ""], ["--out"]),
        (["--threads", "0"], ["--threads"]),
        (["--threads", "4096"], ["--threads 4096"]),
        (["--workers", "-1"], ["--workers"]),
        (["--checkpoint-every", "-1"], ["--checkpoint-every"]),
        (["--optimizer", "sdg"], ["--optimizer", "sdg", "adamw"]),
        (["--schedule", "linear"], ["--schedule", "linear", "one-cycle"]),
        (["--average", "mean"], ["--average", "mean", "polyak"]),
        (["--device", "tpu"], ["--device", "tpu", "cuda"]),
        (["--epoch", "3"], ["--epoch"]),
        (["--data", ""], ["--data"]),
        (["--data-dir", ""], ["--data-dir"]),
        (["--data", "no/such/folder"], ["--data no/such/folder", "fashion-mnist"]),
        (["--resume", "a", "--name", "b"], ["--resume a", "--name b"]),
    ],
)
def test_an_option_without_meaning_is_named(minigrad: Run, given: list[str], phrases: list[str]) -> None:
    assert_fails(minigrad("train", *given), *phrases, status=2)
    assert not Path("runs").exists()


def test_an_unknown_model_is_named_with_those_there_are(minigrad: Run) -> None:
    assert_fails(minigrad("train", "--model", "resnet"), "--model 'resnet'", "googlenet-paper", status=2)


@pytest.mark.parametrize("name", ["../a", "a/b", ".", "", " ", "a\nb"])
def test_a_name_that_is_no_folders_is_refused(minigrad: Run, images: Path, name: str) -> None:
    assert_fails(minigrad("train", *options(images, "--name", name)), f"--name {name!r}", "--out", status=2)


@pytest.mark.parametrize(("model", "least"), [("googlenet", 15), ("googlenet-paper", 31)])
def test_images_too_small_for_the_network_are_refused_with_the_least_size(
    minigrad: Run, model: str, least: int
) -> None:
    result = minigrad("train", "--model", model, "--size", least - 1)
    assert_fails(result, f"--size {least - 1} is too small for {model}", f"{least}x{least}", status=2)
    assert (result.out, Path("runs").exists()) == ("", False)  # nothing was read, made or compiled


@pytest.mark.parametrize(
    "more",
    [
        ["--optimizer", "adam"],
        ["--optimizer", "adamw", "--schedule", "cosine", "--warmup-epochs", "0.5"],
        ["--optimizer", "rmsprop", "--momentum", "0.9", "--schedule", "polynomial"],
        ["--schedule", "step", "--weight-decay", "0.0002", "--label-smoothing", "0.1"],
        ["--schedule", "constant", "--clip-norm", "1", "--average", "ema"],
        ["--average", "polyak", "--detect-anomaly", "--kernels", "conv2d=reference"],
    ],
)
def test_every_choice_of_recipe_trains(minigrad: Run, images: Path, more: list[str]) -> None:
    result = minigrad("train", *options(images, "--epochs", "1", *more))
    assert result.status == 0, result.err


@pytest.mark.lengthy
def test_without_options_it_learns_to_read_digits(minigrad: Run) -> None:
    result = minigrad("train", "--epochs", "4", "--size", "32")
    assert result.status == 0, result.err
    (metrics,) = Path("runs").glob("*/metrics.jsonl")
    # By chance it would be 10%; fewer epochs end before the running statistics have settled.
    assert json.loads(metrics.read_text().splitlines()[-1])["test_accuracy"] > 0.8
