"""CIFAR-10 is read from its binary and its Python version, and bad files are refused by name."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.data import load_dataset
from minigrad.data.pickled_arrays import read_pickle
from minigrad.kernels.errors import MinigradError

NAMES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
IMAGES_A_FILE = 3


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (IMAGES_A_FILE, 3072), dtype=np.uint8)


def labels(number: int) -> list[int]:
    return [number, 9 - number, 5]


def write_binary(folder: Path) -> None:
    for number, name in enumerate(NAMES):
        records = np.c_[np.array(labels(number), np.uint8), pixels(number)]
        (folder / f"{name}.bin").write_bytes(records.tobytes())


def python2_pickle(number: int) -> bytes:
    """The bytes that Python 2's cPickle wrote, by hand: protocol 2, text and arrays as byte strings."""

    def text(value: bytes) -> bytes:
        return b"U" + struct.pack("<B", len(value)) + value if len(value) < 256 else long_text(value)

    def long_text(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    def integer(value: int) -> bytes:
        return b"K" + struct.pack("<B", value) if value < 256 else b"M" + struct.pack("<H", value)

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n"
        + (b"cnumpy\nndarray\n" + integer(0) + b"\x85" + text(b"b") + b"\x87R")
        + (b"(" + integer(1) + integer(IMAGES_A_FILE) + integer(3072) + b"\x86")
        + (b"cnumpy\ndtype\n" + text(b"u1") + integer(0) + integer(1) + b"\x87R")
        + (b"(" + integer(3) + text(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + integer(0) + b"tb")
        + (b"\x89" + long_text(pixels(number).tobytes()) + b"tb")
    )
    label_list = b"](" + b"".join(integer(label) for label in labels(number)) + b"e"
    fields = text(b"batch_label") + text(b"a batch") + text(b"labels") + label_list + text(b"data") + array
    return b"\x80\x02}(" + fields + b"u."


def write_python2(folder: Path) -> None:
    for number, name in enumerate(NAMES):
        (folder / name).write_bytes(python2_pickle(number))


def write_python3(folder: Path, protocol: int) -> None:
    for number, name in enumerate(NAMES):
        batch = {"data": pixels(number), "labels": labels(number), "filenames": ["a.png"]}
        (folder / name).write_bytes(pickle.dumps(batch, protocol))


WRITERS = {
    "binary": write_binary,
    "python 2": write_python2,
    "python 3, protocol 2": lambda folder: write_python3(folder, 2),
    "python 3, protocol 4": lambda folder: write_python3(folder, 4),
}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS.keys())
@pytest.mark.parametrize("inside", [".", "cifar-10-batches-bin", "cifar-10-batches-py"])
def test_every_version_gives_the_same_images(tmp_path: Path, writer: Any, inside: str) -> None:
    place = tmp_path / inside
    place.mkdir(exist_ok=True)
    writer(place)
    dataset = load_dataset("cifar10", tmp_path)
    assert len(dataset.train) == 5 * IMAGES_A_FILE
    assert len(dataset.test) == IMAGES_A_FILE
    image, label = dataset.train[1 * IMAGES_A_FILE + 1]
    red_green_blue = pixels(1)[1].reshape(3, 32, 32)
    np.testing.assert_array_equal(np.asarray(image), red_green_blue.transpose(1, 2, 0))
    assert label == labels(1)[1]
    assert dataset.test[0][1] == labels(5)[0]
    assert dataset.preparation(image).shape == (64, 64, 3)


def refused(folder: Path, *words: str) -> None:
    """Loading the folder raises one sentence that holds all of `words`."""
    with pytest.raises(MinigradError) as caught:
        load_dataset("cifar10", folder)
    sentence = str(caught.value)
    for word in words:
        assert word in sentence


def test_a_missing_folder_is_named_and_the_files_listed(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "nowhere does not exist", "data_batch_1.bin", "test_batch.bin")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    refused(tmp_path, str(tmp_path), "holds no CIFAR-10 files")


@pytest.mark.parametrize("writer", [write_binary, write_python2])
@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(tmp_path: Path, writer: Any, name: str) -> None:
    writer(tmp_path)
    [missing] = tmp_path.glob(f"{name}*")
    missing.unlink()
    refused(tmp_path, str(missing), "cannot be read")


@pytest.mark.parametrize("writer", [write_binary, write_python2])
@pytest.mark.parametrize("kept", [0, 1, 100, 3074, -1])
def test_a_truncated_file_is_named(tmp_path: Path, writer: Any, kept: int) -> None:
    writer(tmp_path)
    [path] = tmp_path.glob("data_batch_3*")
    path.write_bytes(path.read_bytes()[:kept])
    refused(tmp_path, str(path))


def test_a_label_out_of_range_is_named_in_the_binary_version(tmp_path: Path) -> None:
    write_binary(tmp_path)
    path = tmp_path / "data_batch_2.bin"
    content = bytearray(path.read_bytes())
    content[2 * 3073] = 10
    path.write_bytes(content)
    refused(tmp_path, str(path), "label of image 2 is 10", "0..9")


@pytest.mark.parametrize("label", [-1, 10, 10**30])
def test_a_label_out_of_range_is_named_in_the_python_version(tmp_path: Path, label: int) -> None:
    write_python2(tmp_path)
    path = tmp_path / "data_batch_2"
    path.write_bytes(pickle.dumps({"data": pixels(0), "labels": [0, 1, label]}, 4))
    refused(tmp_path, str(path), "label", "0..9")


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ([1, 2], "a dictionary, and holds a list"),
        ({"labels": [1]}, "'data' should be uint8"),
        ({"data": np.zeros((3, 3072)), "labels": [1, 2, 3]}, "is float64 (3, 3072)"),
        ({"data": np.zeros((3, 1024), np.uint8), "labels": [1, 2, 3]}, "is uint8 (3, 1024)"),
        ({"data": np.zeros((3, 3072), np.uint8), "labels": [1, 2]}, "3 images but 2 labels"),
        ({"data": np.zeros((3, 3072), np.uint8), "labels": ["a", "b", "c"]}, "'labels' should be a list"),
        ({"data": np.zeros((0, 3072), np.uint8), "labels": []}, "no images"),
    ],
)
def test_a_python_file_with_other_contents_is_refused(tmp_path: Path, batch: Any, words: str) -> None:
    write_python2(tmp_path)
    (tmp_path / "test_batch").write_bytes(pickle.dumps(batch, 4))
    refused(tmp_path, str(tmp_path / "test_batch"), words)


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_cannot_run_anything(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made by the pickle"
    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps({"data": Harmful(made)}, protocol))
    with pytest.raises(MinigradError, match=r"wants to use (posix|nt)\.mkdir"):
        read_pickle(path)
    assert not made.exists()


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps({"data": np.array([None, {}], object)}, 2))
    with pytest.raises(MinigradError, match="not plain numbers"):
        read_pickle(path)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", ">i4", "<f8", "?"])
def test_plain_arrays_are_read(tmp_path: Path, order: Any, dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype, order=order)
    path = tmp_path / "array"
    path.write_bytes(pickle.dumps([array], 2))
    [read] = read_pickle(path)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype.newbyteorder("=")


@given(position=st.integers(0), value=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_in_a_sentence(
    position: int, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(pickle.dumps({"data": np.arange(6, dtype=np.uint8), "labels": [1, 2]}, 2))
    content[position % len(content)] = value
    path = tmp_path_factory.mktemp("pickle") / "batch"
    path.write_bytes(content)
    try:
        read_pickle(path)
    except MinigradError as error:
        assert str(path) in str(error)
