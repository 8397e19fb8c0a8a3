"""MNIST and Fashion-MNIST from their IDX files, plain or gzipped.

Source of the format: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits": two zero
bytes, a type (8 is unsigned byte), the number of axes, each axis as a big-endian 32-bit integer, the data.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from minigrad.kernels.errors import MinigradError

from .dataset import ArrayImages, ImageDataset
from .transforms import Augmentation, Preparation

UNSIGNED_BYTE = 8
PARTS = {"train": "train", "test": "t10k"}
KINDS = {"images": "idx3", "labels": "idx1"}
FASHION_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def mnist(folder: str | Path, image_size: int = 64) -> ImageDataset:
    """Handwritten digits: 60,000 grey 28x28 images to train, 10,000 to test.

    Raises:
        MinigradError: a file is missing, truncated, of another format, or holds labels outside 0..9.
    """
    return ImageDataset(
        name="mnist",
        class_names=tuple("0123456789"),
        train=_part(Path(folder), "train"),
        test=_part(Path(folder), "test"),
        preparation=Preparation(image_size, grey=True, mean=(0.1307,) * 3, std=(0.3081,) * 3),
        augmentation=Augmentation(shift=2),
    )


def fashion_mnist(folder: str | Path, image_size: int = 64) -> ImageDataset:
    """Pieces of clothing, in files named and laid out as MNIST's. Raises MinigradError as `mnist` does."""
    return ImageDataset(
        name="fashion-mnist",
        class_names=FASHION_CLASSES,
        train=_part(Path(folder), "train"),
        test=_part(Path(folder), "test"),
        preparation=Preparation(image_size, grey=True, mean=(0.2860,) * 3, std=(0.3530,) * 3),
        augmentation=Augmentation(shift=2, flip=True),
    )


def read_idx(path: Path, axes: int) -> np.ndarray:
    """The uint8 array in the IDX file `path`, which must have `axes` axes.

    Raises:
        MinigradError: the file cannot be read, is no such IDX file, or is shorter or longer than it says.
    """
    expected_magic = (UNSIGNED_BYTE << 8) | axes
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * axes)
            magic = int.from_bytes(header[:4], "big")
            if len(header) < 4 + 4 * axes or magic != expected_magic:
                raise MinigradError(
                    f"{path} is not an IDX file of unsigned bytes with {axes} axes: it should begin with "
                    f"0x{expected_magic:08x} and {axes} sizes, and begins with 0x{header[:4].hex()}"
                )
            shape = struct.unpack(f">{axes}I", header[4:])
            size = math.prod(shape)
            # One byte more than expected is enough to know that a file is too long.
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error, OverflowError, MemoryError) as error:
        raise MinigradError(f"{path} cannot be read to its end: {error or type(error).__name__}") from error
    if len(content) != size:
        found = f"only {len(content)}" if len(content) < size else "more"
        sizes = " x ".join(map(str, shape))
        raise MinigradError(f"{path} should hold {sizes} = {size} bytes after its header, and holds {found}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _part(folder: Path, part: str) -> ArrayImages:
    images_path, labels_path = (_find(folder, part, kind) for kind in KINDS)
    images, labels = read_idx(images_path, axes=3), read_idx(labels_path, axes=1)
    if len(images) != len(labels):
        raise MinigradError(
            f"{images_path} holds {len(images)} images but {labels_path} holds {len(labels)} labels"
        )
    if images.size == 0:
        raise MinigradError(f"{images_path} holds no pixels: its shape is {images.shape}")
    return ArrayImages(images, labels.astype(np.int64), classes=10, origin=labels_path)


def _find(folder: Path, part: str, kind: str) -> Path:
    """The file of one part and kind; torchvision puts them into `raw` one or two folders further down."""
    name = f"{PARTS[part]}-{kind}-{KINDS[kind]}-ubyte"
    for place in (folder, folder / "raw", folder / "MNIST" / "raw", folder / "FashionMNIST" / "raw"):
        for spelling in (name, name.replace("-idx", ".idx")):
            for path in (place / spelling, place / f"{spelling}.gz"):
                if path.is_file():
                    return path
    expected = ", ".join(f"{p}-{k}-{KINDS[k]}-ubyte" for p in PARTS.values() for k in KINDS)
    reason = f"there is no {name} (or {name}.gz) in it" if folder.is_dir() else "there is no such folder"
    raise MinigradError(f"data folder {folder}: {reason}; expected, plain or with .gz: {expected}")
