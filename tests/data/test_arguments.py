"""What a data set, a preparation or a loader cannot be made of is named where it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigrad.data import ArrayImages, Augmentation, FileImages, ImageDataset, Loader, Preparation, load_dataset
from minigrad.kernels.errors import MinigradError

IMAGES, LABELS = np.zeros((4, 6, 6), np.uint8), np.arange(4)
SOURCE = ArrayImages(IMAGES, LABELS, 4)
DATASET = ImageDataset("small", tuple("abcd"), SOURCE, SOURCE, Preparation(8), Augmentation())


def loader(**arguments: Any) -> Loader:
    return Loader(**{"dataset": DATASET, "training": True, "batch_size": 2, **arguments})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: load_dataset([]), r"there is no data set \[\]"),
        (lambda: load_dataset("mnist", 3), "'mnist': the folder must be a path, not 3"),
        (lambda: load_dataset("folder", ""), "'folder': the folder must be a path, not ''"),
        (lambda: load_dataset("digits", image_size="a"), "image_size must be a whole number, not 'a'"),
        (lambda: Preparation(2.5), "image_size must be a whole number, not 2.5"),
        (lambda: Preparation(True), "image_size must be a whole number, not True"),
        (lambda: Preparation(8, crop_fraction="a"), r"crop_fraction must lie in \(0, 1\], not 'a'"),
        (lambda: Preparation(8, crop_fraction=np.nan), r"crop_fraction must lie in \(0, 1\], not nan"),
        (lambda: Preparation(8, grey="no"), "grey must be True or False, not 'no'"),
        (lambda: Preparation(8, mean=3), "tuples of 3 finite numbers, not 3"),
        (lambda: Preparation(8, mean=(0.0, np.nan, 0.0)), "tuples of 3 finite numbers, not .*nan"),
        (lambda: Preparation(8, std=(1.0, 1.0)), "tuples of 3 finite numbers"),
        (lambda: Preparation(8, std=(1.0, 0.0, 1.0)), "std must be positive"),
        (lambda: Preparation.from_json({**Preparation(8).to_json(), "mean": "abc"}), "tuples of 3 finite numbers"),
        (lambda: Augmentation(shift=-1), "shift must be at least 0, not -1"),
        (lambda: Augmentation(shift=1.5), "shift must be a whole number, not 1.5"),
        (lambda: ArrayImages(IMAGES.tolist(), LABELS, 4), "images must be uint8 .* not a list"),
        (lambda: ArrayImages(IMAGES / 255, LABELS, 4), r"images must be uint8 .* not float64 \(4, 6, 6\)"),
        (lambda: ArrayImages(IMAGES[0], LABELS, 4), r"images must be .* not uint8 \(6, 6\)"),
        (lambda: ArrayImages(IMAGES[:, 0], LABELS, 4), r"images must be .* not uint8 \(4, 6\)"),
        (lambda: ArrayImages(IMAGES[:, :0], LABELS, 4), r"no images in it, their shape is \(4, 0, 6\)"),
        (lambda: ArrayImages(IMAGES, LABELS.tolist(), 4), "labels must be integers .* not a list"),
        (lambda: ArrayImages(IMAGES, LABELS + 0.5, 4), r"labels must be integers .* not float64 \(4,\)"),
        (lambda: ArrayImages(IMAGES, LABELS, "a"), "classes must be a whole number, not 'a'"),
        (lambda: FileImages(["a.png"], [0, 1]), "1 image files but 2 labels"),
        (lambda: loader(dataset=None), "dataset must be an ImageDataset, not NoneType"),
        (lambda: loader(batch_size="a"), "batch_size must be a whole number, not 'a'"),
        (lambda: loader(batch_size=2.5), "batch_size must be a whole number, not 2.5"),
        (lambda: loader(seed=None), "seed must be a whole number, not None"),
        (lambda: loader(rank=0.5), "rank must be a whole number, not 0.5"),
        (lambda: loader(threads=np.nan), "threads must be a whole number, not nan"),
        (lambda: loader(workers=-1), "workers must be at least 0, not -1"),
        (lambda: loader().epoch("a"), "epoch must be a whole number, not 'a'"),
        (lambda: loader().epoch(0, 1.5), "start must be a whole number, not 1.5"),
    ],
)
def test_an_argument_without_meaning_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(MinigradError, match=message):
        make()
