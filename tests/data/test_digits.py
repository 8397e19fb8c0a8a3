"""The digits are scikit-learn's 1,797 real images in one fixed split."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from minigrad.data import DATASET_NAMES, ImageDataset, Loader, load_dataset
from minigrad.data.dataset import ArrayImages
from minigrad.kernels.errors import MinigradError


@pytest.fixture(scope="module")
def digits() -> ImageDataset:
    return load_dataset("digits")


def pixels_and_labels(part: ArrayImages) -> list[tuple[bytes, int]]:
    return [(image.tobytes(), label) for image, label in (part[index] for index in range(len(part)))]


def test_the_split_is_every_image_once(digits: ImageDataset) -> None:
    train, test = pixels_and_labels(digits.train), pixels_and_labels(digits.test)  # type: ignore[arg-type]
    assert (len(train), len(test)) == (1437, 360)
    bunch = load_digits()
    everything = [
        (np.rint(image * 255 / 16).astype(np.uint8).tobytes(), int(label))
        for image, label in zip(bunch.images, bunch.target, strict=True)
    ]
    assert sorted(train + test) == sorted(everything)


def test_the_split_never_changes(digits: ImageDataset) -> None:
    # What a test accuracy means depends on it: these are the first labels of the split of version 0.1.
    assert [digits.test[index][1] for index in range(12)] == [2, 8, 2, 6, 6, 7, 1, 9, 8, 5, 2, 8]
    again = load_dataset("digits")
    assert pixels_and_labels(again.test) == pixels_and_labels(digits.test)  # type: ignore[arg-type]


def test_every_class_is_tested(digits: ImageDataset) -> None:
    assert np.bincount([label for _, label in pixels_and_labels(digits.test)]).min() >= 25  # type: ignore[arg-type]


def test_prepared_training_images_are_normalised(digits: ImageDataset) -> None:
    images = np.concatenate([images for images, _ in Loader(digits, training=True, batch_size=32).epoch(0)])
    assert images.shape == (1437, 3, 64, 64)
    # Mean and deviation are written in the source with four digits.
    assert abs(images.mean(dtype=np.float64)) < 1e-3
    assert abs(images.std(dtype=np.float64) - 1) < 1e-3


def test_the_image_size_can_be_chosen() -> None:
    images, _ = next(Loader(load_dataset("digits", image_size=32), training=False, batch_size=2).epoch(0))
    assert images.shape == (2, 3, 32, 32)


def test_an_unknown_data_set_is_refused_with_the_names() -> None:
    with pytest.raises(MinigradError, match="'imagenet'") as caught:
        load_dataset("imagenet")
    assert all(name in str(caught.value) for name in DATASET_NAMES)


@pytest.mark.parametrize("name", [name for name in DATASET_NAMES if name != "digits"])
def test_a_data_set_of_files_needs_a_folder(name: str) -> None:
    with pytest.raises(MinigradError, match="folder"):
        load_dataset(name)


def test_digits_take_no_folder() -> None:
    with pytest.raises(MinigradError, match="takes no folder"):
        load_dataset("digits", "somewhere")
