"""From a picture to the network's input, exactly (`Preparation`) or with random changes (`Augmentation`).

A prepared image is float32, shape (H, W, 3): channels-last, as activations lie in memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from minigrad.kernels.errors import MinigradError

from .arguments import is_finite, whole_number

Box = tuple[float, float, float, float]  # left, upper, right, lower, in pixels of the source image

# ImageNet's statistics, the usual choice for photographs.
PHOTOGRAPH_MEAN = (0.485, 0.456, 0.406)
PHOTOGRAPH_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preparation:
    """How any picture becomes the network's input, the same in evaluation and in prediction.

    Attributes:
        image_size: height and width of the result in pixels.
        crop_fraction: side of the central square that is kept, as a fraction of the shorter side.
        grey: make the picture grey first, and repeat that one channel three times.
        mean, std: of each channel, with pixels scaled to 0..1; the result is (pixel - mean) / std.

    Raises:
        MinigradError: a size below 1, a fraction outside (0, 1], a mean or a standard deviation that is not
            finite, a standard deviation that is not positive.
    """

    image_size: int
    crop_fraction: float = 1.0
    grey: bool = False
    mean: tuple[float, float, float] = PHOTOGRAPH_MEAN
    std: tuple[float, float, float] = PHOTOGRAPH_STD

    def __post_init__(self) -> None:
        whole_number("image_size", self.image_size, 1)
        if not is_finite(self.crop_fraction) or not 0 < self.crop_fraction <= 1:
            raise MinigradError(f"crop_fraction must lie in (0, 1], not {self.crop_fraction!r}")
        if not isinstance(self.grey, bool):
            raise MinigradError(f"grey must be True or False, not {self.grey!r}")
        for values in (self.mean, self.std):
            if not isinstance(values, tuple) or len(values) != 3 or not all(map(is_finite, values)):
                raise MinigradError(f"mean and std must be tuples of 3 finite numbers, not {values!r}")
        if min(self.std) <= 0:
            raise MinigradError(f"std must be positive, not {self.std}")

    def __call__(self, image: Image.Image) -> np.ndarray:
        """`image` as float32 (image_size, image_size, 3)."""
        return self.normalise(self.resize(image, centre_square(image.size, self.crop_fraction)))

    def resize(self, image: Image.Image, box: Box) -> Image.Image:
        """The part of `image` inside `box`, bilinearly resized to image_size x image_size."""
        image = image.convert("L" if self.grey else "RGB")
        return image.resize((self.image_size, self.image_size), Image.Resampling.BILINEAR, box=box)

    def normalise(self, image: Image.Image) -> np.ndarray:
        """The pixels of an RGB or grey `image` as float32 (H, W, 3), (pixel / 255 - mean) / std."""
        pixels, table = np.asarray(image), _normalised_values(self.mean, self.std)
        if pixels.ndim == 2:
            return table.take(pixels, axis=0)
        prepared = np.empty(pixels.shape, np.float32)
        for channel in range(3):
            prepared[:, :, channel] = table[:, channel].take(pixels[:, :, channel])
        return prepared

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preparation:
        """The inverse of `to_json`. Raises MinigradError where fields are missing, unknown or nonsense."""
        names = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or set(values) != names:
            raise MinigradError(f"a preparation has the fields {', '.join(sorted(names))}, not {values!r}")
        try:
            return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
        except TypeError as error:
            raise MinigradError(f"a preparation cannot be {values!r}: {error}") from None


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images; by default none.

    Attributes:
        shift: move the picture by up to this many of its own pixels each way, black coming in.
        flip: mirror left and right, half of the time.
        resized_crop: cut out a random part (8% to 100% of the area, aspect ratio 3/4 to 4/3) instead of the
            central square: Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6.

    Raises:
        MinigradError: a shift that is not a whole number from 0 on.
    """

    shift: int = 0
    flip: bool = False
    resized_crop: bool = False

    def __post_init__(self) -> None:
        whole_number("shift", self.shift, 0)

    def __call__(self, image: Image.Image, preparation: Preparation, generator: np.random.Generator) -> np.ndarray:
        """`image` as float32 (image_size, image_size, 3), changed at random and prepared."""
        if self.shift:
            image = shifted(image, *generator.integers(-self.shift, self.shift, 2, endpoint=True))
        if self.resized_crop:
            box = random_crop(image.size, generator)
        else:
            box = centre_square(image.size, preparation.crop_fraction)
        image = preparation.resize(image, box)
        if self.flip and generator.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return preparation.normalise(image)


@lru_cache
def _normalised_values(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """float32 (256, 3): what each value of a pixel becomes in each channel.

    Looking them up is faster than computing each pixel in float32, and rounds once.
    """
    values = (np.arange(256)[:, np.newaxis] / 255 - mean) / std
    return values.astype(np.float32)


def centre_square(size: tuple[int, int], fraction: float) -> Box:
    """The central square of a picture of `size` (width, height): `fraction` of the shorter side wide."""
    width, height = size
    side = fraction * min(width, height)
    left, upper = (width - side) / 2, (height - side) / 2
    return left, upper, left + side, upper + side


def shifted(image: Image.Image, right: int, down: int) -> Image.Image:
    """`image` moved by whole pixels, the same size; what comes in is black."""
    width, height = image.size
    return image.crop((-int(right), -int(down), width - int(right), height - int(down)))


def random_crop(size: tuple[int, int], generator: np.random.Generator) -> Box:
    """A random part of a picture of `size` (width, height).

    Its area is uniform in 8%..100% of the picture's, its aspect ratio log-uniform in 3/4..4/3. Where ten
    draws do not fit inside a long picture, the largest central part with an aspect ratio in that range.
    """
    width, height = size
    for _ in range(10):
        area = width * height * generator.uniform(0.08, 1.0)
        aspect = math.exp(generator.uniform(math.log(3 / 4), math.log(4 / 3)))
        crop_width = max(1, round(math.sqrt(area * aspect)))
        crop_height = max(1, round(math.sqrt(area / aspect)))
        if crop_width <= width and crop_height <= height:
            left = int(generator.integers(0, width - crop_width, endpoint=True))
            upper = int(generator.integers(0, height - crop_height, endpoint=True))
            return left, upper, left + crop_width, upper + crop_height
    kept_width, kept_height = min(width, height * 4 / 3), min(height, width * 4 / 3)
    left_edge, upper_edge = (width - kept_width) / 2, (height - kept_height) / 2
    return left_edge, upper_edge, left_edge + kept_width, upper_edge + kept_height
