"""MNIST and Fashion-MNIST are read from IDX files, and bad files are refused by name."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from minigrad.data import load_dataset
from minigrad.data.idx import read_idx
from minigrad.kernels.errors import MinigradError

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, images: np.ndarray) -> Path:
    labels = np.array([3, 0, 9, 1, 2], np.uint8)
    for name in NAMES:
        (tmp_path / name).write_bytes(idx_bytes(images if "images" in name else labels))
    return tmp_path


@given(array=array_shapes(min_dims=1, max_dims=3).flatmap(lambda shape: arrays(np.uint8, shape)))
def test_what_was_written_is_read(array: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(idx_bytes(array))
    np.testing.assert_array_equal(read_idx(path, array.ndim), array)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_both_parts_are_read(name: str, folder: Path, images: np.ndarray) -> None:
    dataset = load_dataset(name, folder)
    assert len(dataset.train) == len(dataset.test) == 5
    assert len(dataset.class_names) == 10
    image, label = dataset.train[2]
    np.testing.assert_array_equal(np.asarray(image), images[2])
    assert label == 9
    assert dataset.preparation(image).shape == (64, 64, 3)


def test_gzipped_files_are_read_where_torchvision_keeps_them(folder: Path, images: np.ndarray) -> None:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in NAMES:
        (raw / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    np.testing.assert_array_equal(np.asarray(load_dataset("mnist", folder).test[4][0]), images[4])


def refused(folder: Path, *words: str) -> None:
    """Loading the folder raises one sentence that holds all of `words`."""
    with pytest.raises(MinigradError) as caught:
        load_dataset("mnist", folder)
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


def test_a_missing_folder_is_named_and_the_files_listed(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "nowhere", "no such folder", *NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refused(folder, str(folder), f"no {name}")


@pytest.mark.parametrize("kept", [0, 3, 10, 16, 17, -1])
@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_file_is_named(folder: Path, name: str, kept: int) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:kept] if kept < 8 or "images" in name else path.read_bytes()[:10])
    refused(folder, str(path))


def test_a_truncated_gzip_file_is_named(folder: Path) -> None:
    path = folder / NAMES[0]
    compressed = gzip.compress(path.read_bytes())
    path.unlink()
    Path(f"{path}.gz").write_bytes(compressed[: len(compressed) // 2])
    refused(folder, f"{path}.gz", "cannot be read to its end")


def test_a_file_with_bytes_left_over_is_refused(folder: Path) -> None:
    path = folder / NAMES[0]
    path.write_bytes(path.read_bytes() + b"\0")
    refused(folder, str(path), "5 x 28 x 28 = 3920 bytes", "more")


def test_labels_in_place_of_images_are_refused(folder: Path) -> None:
    (folder / NAMES[0]).write_bytes((folder / NAMES[1]).read_bytes())
    refused(folder, NAMES[0], "0x00000803", "0x00000801")


def test_a_label_out_of_range_is_named(folder: Path) -> None:
    (folder / NAMES[3]).write_bytes(idx_bytes(np.array([0, 1, 2, 10, 4], np.uint8)))
    refused(folder, NAMES[3], "label of image 3 is 10", "0..9")


def test_more_labels_than_images_are_refused(folder: Path) -> None:
    (folder / NAMES[1]).write_bytes(idx_bytes(np.zeros(6, np.uint8)))
    refused(folder, "5 images", "6 labels", NAMES[0], NAMES[1])


def test_a_file_without_images_is_refused(folder: Path) -> None:
    (folder / NAMES[0]).write_bytes(idx_bytes(np.zeros((0, 28, 28), np.uint8)))
    (folder / NAMES[1]).write_bytes(idx_bytes(np.zeros(0, np.uint8)))
    refused(folder, NAMES[0], "no pixels")


@given(content=st.binary(max_size=64))
def test_any_bytes_are_read_or_refused_in_a_sentence(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(content)
    try:
        assert read_idx(path, 1).nbytes + 8 == len(content)
    except MinigradError as error:
        assert str(path) in str(error)
