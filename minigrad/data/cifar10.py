"""CIFAR-10 from its files: the binary version, or the Python version (pickles, read without running them).

Source of the formats: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009, and
https://www.cs.toronto.edu/~kriz/cifar.html. An image is 3,072 bytes: 32x32 red, then green, then blue.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minigrad.kernels.errors import MinigradError

from .dataset import ArrayImages, ImageDataset
from .pickled_arrays import read_pickle
from .transforms import Augmentation, Preparation

PIXEL_BYTES = 3 * 32 * 32
RECORD_BYTES = 1 + PIXEL_BYTES  # the binary version: one byte of label, then the pixels
TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_FILE = "test_batch"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar10(folder: str | Path, image_size: int = 64) -> ImageDataset:
    """50,000 small photographs to train, 10,000 to test, 32x32 RGB, ten classes.

    `folder` is `cifar-10-batches-bin` or `cifar-10-batches-py`, or the folder that holds one of them.

    Raises:
        MinigradError: a file is missing, truncated, of another format, or holds labels outside 0..9.
    """
    place, suffix = _find(Path(folder))
    read = _read_binary if suffix else _read_python
    parts = [read(place / f"{name}{suffix}") for name in TRAIN_FILES]
    images, labels = (np.concatenate([part[field] for part in parts]) for field in range(2))
    test_images, test_labels = read(place / f"{TEST_FILE}{suffix}")
    return ImageDataset(
        name="cifar10",
        class_names=CLASSES,
        train=ArrayImages(images, labels, len(CLASSES), place),
        test=ArrayImages(test_images, test_labels, len(CLASSES), place),
        preparation=Preparation(image_size, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
        augmentation=Augmentation(shift=4, flip=True),
    )


def _find(folder: Path) -> tuple[Path, str]:
    """Where the files are, and their suffix: ".bin" for the binary version, "" for the Python version."""
    for place in (folder, folder / "cifar-10-batches-bin", folder / "cifar-10-batches-py"):
        for suffix in (".bin", ""):
            if any((place / f"{name}{suffix}").is_file() for name in (*TRAIN_FILES, TEST_FILE)):
                return place, suffix
    reason = "holds no CIFAR-10 files" if folder.is_dir() else "does not exist"
    raise MinigradError(
        f"data folder {folder} {reason}; expected: data_batch_1.bin to data_batch_5.bin and test_batch.bin, "
        "or the Python version's files of the same names without .bin"
    )


def _read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise MinigradError(f"{path} cannot be read: {error.strerror}") from error
    if content.size == 0 or content.size % RECORD_BYTES:
        raise MinigradError(
            f"{path} should hold records of {RECORD_BYTES} bytes (a label, {PIXEL_BYTES} pixels), and holds "
            f"{content.size // RECORD_BYTES} whole records and {content.size % RECORD_BYTES} bytes"
        )
    records = content.reshape(-1, RECORD_BYTES)
    return _checked(path, records[:, 1:], records[:, 0])


def _read_python(path: Path) -> tuple[np.ndarray, np.ndarray]:
    batch = read_pickle(path)
    if not isinstance(batch, dict):
        raise MinigradError(f"{path} should hold a dictionary, and holds a {type(batch).__name__}")
    # Written by Python 2, whose strings arrive here as bytes.
    fields = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    pixels, labels = fields.get("data"), fields.get("labels")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (PIXEL_BYTES,):
        found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise MinigradError(f"{path}: 'data' should be uint8 (images, {PIXEL_BYTES}), and is {found}")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise MinigradError(f"{path}: 'labels' should be a list of integers, and is {type(labels).__name__}")
    if len(labels) != len(pixels):
        raise MinigradError(f"{path} holds {len(pixels)} images but {len(labels)} labels")
    try:
        return _checked(path, pixels, np.array(labels, np.int64))
    except OverflowError:
        raise MinigradError(f"{path}: a label is outside 0..{len(CLASSES) - 1}") from None


def _checked(path: Path, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images (N, 32, 32, 3) and int64 labels (N,), the labels of this file checked."""
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    checked = ArrayImages(images, labels.astype(np.int64), len(CLASSES), path)
    return checked.images, checked.labels
