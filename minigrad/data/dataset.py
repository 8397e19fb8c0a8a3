"""What every data set looks like: two sources of labelled images, and how they become the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from minigrad.kernels.errors import MinigradError

from .arguments import whole_number
from .decode import read_image
from .transforms import Augmentation, Preparation


class ImageSource(Protocol):
    """Labelled images by index; the label is a class index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Image.Image, int]: ...


@dataclass(frozen=True)
class ImageDataset:
    """A classification data set.

    Attributes:
        name: the name it is chosen by, such as "digits".
        class_names: class i is called class_names[i].
        train, test: the images of each part.
        preparation: turns any image into the network's input; belongs into every checkpoint.
        augmentation: the random changes made to training images.
    """

    name: str
    class_names: tuple[str, ...]
    train: ImageSource
    test: ImageSource
    preparation: Preparation
    augmentation: Augmentation


class ArrayImages:
    """Images held in memory: uint8 (N, H, W) greys or (N, H, W, 3) RGB, and one label each.

    Raises:
        MinigradError: arrays of another kind or shape, counts that differ, no images, or a label outside
            0..classes-1; `origin` is the file to blame in the sentence.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, classes: int, origin: str | Path = "the data"
    ) -> None:
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or not _are_pictures(images.shape):
            raise MinigradError(f"{origin}: images must be uint8 (N, H, W) or (N, H, W, 3), not {_told(images)}")
        if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise MinigradError(f"{origin}: labels must be integers (N,), not {_told(labels)}")
        whole_number("classes", classes, 1)
        if len(images) != len(labels):
            raise MinigradError(f"{origin}: there are {len(images)} images but {len(labels)} labels")
        if images.size == 0:
            raise MinigradError(f"{origin}: there are no images in it, their shape is {images.shape}")
        wrong = np.flatnonzero((labels < 0) | (labels >= classes))
        if wrong.size:
            raise MinigradError(
                f"{origin}: the label of image {wrong[0]} is {labels[wrong[0]]}, outside 0..{classes - 1}"
            )
        self.images = images
        self.labels = labels.astype(np.int64)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(np.ascontiguousarray(self.images[index])), int(self.labels[index])


def _are_pictures(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)


def _told(array: Any) -> str:
    return f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"


class FileImages:
    """Images in files, each decoded when it is asked for.

    Raises:
        MinigradError: counts that differ; on access, where a file cannot be decoded, names the file.
    """

    def __init__(self, paths: Sequence[str], labels: Sequence[int]) -> None:
        if len(paths) != len(labels):
            raise MinigradError(f"there are {len(paths)} image files but {len(labels)} labels")
        self.paths = tuple(paths)
        self.labels = np.asarray(labels, np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return read_image(self.paths[index]), int(self.labels[index])
