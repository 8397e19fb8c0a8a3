"""What a person can hand in wrong ends in one line that names it; nothing is lost or left behind."""

from __future__ import annotations

import gzip
import json
import math
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claims.commands import Run, assert_fails
from claims.tiny import options, write_images
from minigrad.train.checkpoint import write_weights

TRAIN = ["--model", "tiny", "--size", "12", "--epochs", "1", "--batch-size", "8"]


@pytest.fixture
def own_images(tmp_path: Path) -> Path:
    """A folder of images to be spoilt."""
    return write_images(tmp_path / "pictures")


@pytest.fixture
def trained(minigrad: Run, images: Path) -> Path:
    """A run of one epoch."""
    assert minigrad("train", *options(images, "--epochs", "1", "--name", "a")).status == 0
    return Path("runs/a")


# Data


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_data_without_a_folder(minigrad: Run, name: str) -> None:
    assert_fails(minigrad("train", *TRAIN, "--data", name), f"--data {name}", "--data-dir", status=2)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_a_data_folder_that_is_missing_or_empty(minigrad: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "missing", tmp_path / "empty"):
        assert_fails(minigrad("train", *TRAIN, "--data", name, "--data-dir", folder), folder)
    assert not Path("runs").exists()


def test_an_image_folder_without_parts_or_images(minigrad: Run, tmp_path: Path, own_images: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_fails(minigrad("train", *TRAIN, "--data", tmp_path / "empty"), tmp_path / "empty", "train/CLASS")
    shutil.rmtree(own_images / "train" / "blue")
    (own_images / "train" / "blue").mkdir()
    assert_fails(minigrad("train", *TRAIN, "--data", own_images), own_images / "train" / "blue", "no images")


def test_folders_that_have_no_meaning(minigrad: Run, own_images: Path) -> None:
    assert_fails(minigrad("train", *TRAIN, "--data-dir", own_images), "--data digits", "--data-dir", status=2)
    assert_fails(minigrad("train", *TRAIN, "--data", own_images, "--data-dir", "x"), "--data-dir", status=2)


def test_a_file_in_place_of_a_folder(minigrad: Run, own_images: Path) -> None:
    picture = own_images / "val" / "blue" / "0.png"
    assert_fails(minigrad("train", *TRAIN, "--data", picture), picture, status=2)
    assert_fails(minigrad("train", *TRAIN, "--data", "mnist", "--data-dir", picture), picture)


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_truncated_image_in_the_middle_of_a_run(minigrad: Run, own_images: Path, part: str) -> None:
    picture = own_images / part / "grey" / "2.png"
    picture.write_bytes(picture.read_bytes()[:60])
    assert_fails(minigrad("train", *TRAIN, "--data", own_images), picture, "cannot be decoded")


def test_a_truncated_image_after_a_checkpoint_loses_nothing(minigrad: Run, own_images: Path) -> None:
    given = options(own_images, "--epochs", "2", "--schedule", "constant", "--name", "a")
    assert minigrad("train", *given).status == 0
    before = Path("runs/a/resume.safetensors").read_bytes()
    picture = own_images / "train" / "grey" / "2.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:60])
    assert_fails(minigrad("train", "--resume", "a", "--epochs", "3"), picture)
    assert Path("runs/a/resume.safetensors").read_bytes() == before
    picture.write_bytes(whole)
    assert minigrad("train", "--resume", "a", "--epochs", "3").status == 0


def write_idx(folder: Path, labels: np.ndarray, cut: int = 0) -> Path:
    """MNIST's four files with ten images a part, the training images `cut` bytes short."""
    folder.mkdir()
    images = np.zeros((10, 28, 28), np.uint8)
    for part in ("train", "t10k"):
        pixels = struct.pack(">IIII", 0x803, 10, 28, 28) + images.tobytes()
        kept = pixels[: len(pixels) - cut] if part == "train" else pixels
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(kept))
        values = struct.pack(">II", 0x801, 10) + labels.astype(np.uint8).tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(values)
    return folder


def test_a_truncated_data_file(minigrad: Run, tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "mnist", np.arange(10), cut=100)
    assert_fails(minigrad("train", *TRAIN, "--data", "mnist", "--data-dir", folder), "train-images-idx3-ubyte")


def test_a_label_out_of_range(minigrad: Run, tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "mnist", np.arange(10) + 5)
    assert_fails(minigrad("train", *TRAIN, "--data", "mnist", "--data-dir", folder), "label", "10", "0..9")


# Kernels and devices


@pytest.mark.parametrize(
    ("spec", "phrases", "status"),
    [
        ("conv2d=winogrd", ["--kernels", "'winogrd'", "winograd"], 2),
        ("convolve=direct", ["--kernels", "'convolve'", "conv2d"], 2),
        ("conv2d=", ["--kernels", "conv2d="], 2),
        ("conv2d=pointwise", ["pointwise", "cannot run", "1x1", "stem.0"], 1),
    ],
)
def test_kernels_that_do_not_exist_or_cannot_run(
    minigrad: Run, images: Path, spec: str, phrases: list[str], status: int
) -> None:
    assert_fails(minigrad("train", *options(images), "--kernels", spec), *phrases, status=status)
    assert not Path("runs").exists()


def test_a_gpu_that_is_not_there(minigrad: Run, images: Path) -> None:
    try:
        import cupy

        available = cupy.cuda.is_available()
    except ImportError:
        available = False
    if available:
        pytest.skip("this machine has a GPU")
    assert_fails(minigrad("train", *options(images), "--device", "cuda"), "cuda", "CuPy")


# Checkpoints


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_a_checkpoint_that_is_no_checkpoint(minigrad: Run, trained: Path, tmp_path: Path, command: str) -> None:
    picture = write_images(tmp_path / "more") / "val" / "blue" / "0.png"
    more = [picture] if command == "predict" else []
    whole = (trained / "best.safetensors").read_bytes()
    middle = len(whole) - 200
    spoilt = {
        "truncated": whole[: len(whole) // 2],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
        "picture": picture.read_bytes(),
    }
    for name, content in spoilt.items():
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(content)
        assert_fails(minigrad(command, file, *more), file)
    assert_fails(minigrad(command, tmp_path / "missing", *more), tmp_path / "missing")
    assert_fails(minigrad(command, tmp_path, *more), tmp_path / "best.safetensors")
    assert_fails(minigrad(command, trained / "resume.safetensors", *more), "resume state")


def test_a_checkpoint_of_another_model(minigrad: Run, trained: Path, tmp_path: Path) -> None:
    from minigrad.train.checkpoint import read_weights

    weights, description = read_weights(trained / "best.safetensors")
    for change, phrases in (
        ({"model": {"name": "alexnet", "arguments": {}}}, ["'alexnet'"]),
        ({"model": {"name": "tiny", "arguments": {"num_classes": 5}}}, ["fc.weight", "(3, 288)", "(5, 288)"]),
        ({"model": {"name": "tiny", "arguments": {"classes": 3}}}, ["'tiny'", "classes"]),
        ({"preparation": {"image_size": 12}}, ["preparation"]),
        ({"class_names": None}, ["describe its model"]),
    ):
        file = tmp_path / "other.safetensors"
        write_weights(file, weights, {**description, **change})
        assert_fails(minigrad("eval", file), file, *phrases)


def test_a_resume_file_of_another_model_or_spoilt(minigrad: Run, trained: Path, images: Path) -> None:
    minigrad("train", *options(images, "--epochs", "1", "--optimizer", "adam", "--name", "b"))
    resume = trained / "resume.safetensors"
    whole = resume.read_bytes()
    for content in (Path("runs/b/resume.safetensors").read_bytes(), whole[:-1], b"nonsense"):
        resume.write_bytes(content)
        assert_fails(minigrad("train", "--resume", "a"), resume)
        assert resume.read_bytes() == content
    resume.write_bytes(whole)
    assert minigrad("train", "--resume", "a").status == 0


@pytest.mark.parametrize("content", ["{", "[]", '{"epochs": 3}', "", "[" * 100_000])
def test_a_spoilt_configuration(minigrad: Run, trained: Path, content: str) -> None:
    (trained / "config.json").write_text(content)
    result = minigrad("train", "--resume", "a")
    assert_fails(result, trained / "config.json", status=result.status)
    assert result.status != 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", "six"),
        ("epochs", 1.5),
        ("epochs", None),
        ("epochs", True),
        ("batch_size", [8]),
        ("lr", "0.1"),
        ("lr", math.nan),
        ("momentum", {}),
        ("aux_weight", None),
        ("aux_weight", -math.inf),
        ("data", None),
        ("data", 3),
        ("model", ["tiny"]),
        ("model", "tinier"),
        ("size", "12"),
        ("optimizer", 0),
        ("schedule", None),
        ("seed", -1),
        ("kernels", None),
        ("kernels", "conv2d=winogrd"),
        ("threads", False),
        ("threads", 4096),
        ("device", "tpu"),
        ("detect_anomaly", 1),
    ],
)
def test_a_configuration_with_a_value_that_has_no_meaning(
    minigrad: Run, trained: Path, name: str, value: Any
) -> None:
    before = {file.name: file.read_bytes() for file in trained.iterdir() if file.name != "config.json"}
    config = json.loads((trained / "config.json").read_text())
    (trained / "config.json").write_text(json.dumps({**config, name: value}))
    result = minigrad("train", "--resume", "a")
    assert_fails(result, f"--{name.replace('_', '-')}", status=result.status)
    assert result.status != 0
    assert {file.name: file.read_bytes() for file in trained.iterdir() if file.name != "config.json"} == before


def test_a_value_of_the_wrong_kind_is_told_with_its_file(minigrad: Run, trained: Path) -> None:
    config = json.loads((trained / "config.json").read_text())
    (trained / "config.json").write_text(json.dumps({**config, "epochs": "six"}))
    line = f"minigrad: {trained / 'config.json'}: --epochs must be a whole number, not 'six'\n"
    assert minigrad("train", "--resume", "a").err == line


def test_a_spoilt_metrics_file(minigrad: Run, trained: Path) -> None:
    metrics = trained / "metrics.jsonl"
    metrics.write_text("nonsense\n")
    assert_fails(minigrad("train", "--resume", "a"), metrics, "line 1")
    assert metrics.read_text() == "nonsense\n"


# Images


def test_images_that_cannot_be_read(minigrad: Run, trained: Path, images: Path, tmp_path: Path) -> None:
    good = images / "val" / "blue" / "0.png"
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:70])
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    for bad in (cut, text, tmp_path / "missing.png", tmp_path):
        result = minigrad("predict", trained, good, bad)
        assert_fails(result, bad)
        assert str(good) in result.out  # what came before was told


# Folders


def test_runs_that_cannot_be_written(minigrad: Run, images: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_fails(minigrad("train", *options(images), "--out", tmp_path / "file"), tmp_path / "file")
    if Path("/proc/self").exists():  # where nobody, not even root, can make a folder
        assert_fails(minigrad("train", *options(images), "--out", "/proc/self/runs"), "/proc/self/runs")
