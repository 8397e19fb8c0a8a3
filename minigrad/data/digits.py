"""scikit-learn's handwritten digits: 1,797 real 8x8 images that come with the library.

Source: E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI machine learning repository.
"""

from __future__ import annotations

import numpy as np

from .dataset import ArrayImages, ImageDataset
from .transforms import Augmentation, Preparation

TEST_IMAGES = 360
SPLIT_SEED = 0
# Of the training images upsampled to 64x64, pixels in 0..1.
MEAN, STD = 0.3057, 0.3249


def digits(image_size: int = 64) -> ImageDataset:
    """1,437 images to train and 360 to test, always the same split; grey, classes "0" to "9"."""
    from sklearn.datasets import load_digits  # takes a second, and only this data set needs it

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    labels = bunch.target
    # RandomState's stream is frozen for good, Generator's may change with NumPy's version.
    order = np.random.RandomState(SPLIT_SEED).permutation(len(images))
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    return ImageDataset(
        name="digits",
        class_names=tuple("0123456789"),
        train=ArrayImages(images[train], labels[train], classes=10),
        test=ArrayImages(images[test], labels[test], classes=10),
        preparation=Preparation(image_size, grey=True, mean=(MEAN,) * 3, std=(STD,) * 3),
        # A digit fills its 8x8 pixels, so that a shift would cut it; a mirrored digit is none.
        augmentation=Augmentation(),
    )
