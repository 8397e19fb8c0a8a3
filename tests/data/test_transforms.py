"""Pictures become the network's input exactly; random changes keep to their ranges and to their seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minigrad.data import Augmentation, Preparation
from minigrad.data.transforms import centre_square, random_crop, shifted
from minigrad.kernels.errors import MinigradError

SIZES = st.tuples(st.integers(1, 600), st.integers(1, 600))


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_pixels_are_normalised_channel_by_channel() -> None:
    image = noise(16, 16)
    mean, std = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
    expected = (np.asarray(image) / 255 - mean) / std
    # The lookup rounds the float64 result once: half a unit of float32, 2**-24, relative.
    np.testing.assert_allclose(Preparation(16, mean=mean, std=std)(image), expected, rtol=2**-24)


def test_a_grey_preparation_repeats_one_channel() -> None:
    prepared = Preparation(8, grey=True, mean=(0.5,) * 3, std=(0.5,) * 3)(noise(8, 8))
    assert prepared.dtype == np.float32
    assert prepared.shape == (8, 8, 3)
    np.testing.assert_array_equal(prepared, prepared[:, :, :1].repeat(3, axis=2))


def test_upsampling_is_bilinear() -> None:
    ramp = Image.fromarray(np.array([[0, 100]], np.uint8).repeat(2, axis=0))
    prepared = Preparation(4, grey=True, mean=(0.0,) * 3, std=(1 / 255,) * 3)(ramp)
    # Pixel centres at 1/4 and 3/4: outside them the edge's value, between them the straight line.
    np.testing.assert_allclose(prepared[0, :, 0], [0, 25, 75, 100], rtol=1e-6)  # float32


def test_the_centre_is_kept() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[25:75, 75:125] = 255
    prepared = Preparation(50, crop_fraction=0.5, mean=(0.0,) * 3, std=(1.0,) * 3)(Image.fromarray(pixels))
    np.testing.assert_array_equal(prepared, np.ones((50, 50, 3), np.float32))


@given(size=SIZES, fraction=st.floats(0.01, 1))
def test_the_central_square_lies_inside(size: tuple[int, int], fraction: float) -> None:
    left, upper, right, lower = centre_square(size, fraction)
    assert 0 <= left < right <= size[0]
    assert 0 <= upper < lower <= size[1]
    assert left + right == pytest.approx(size[0])
    assert upper + lower == pytest.approx(size[1])


@given(size=SIZES, seed=st.integers(0, 2**32))
def test_a_random_crop_lies_inside(size: tuple[int, int], seed: int) -> None:
    left, upper, right, lower = random_crop(size, np.random.default_rng(seed))
    assert 0 <= left < right <= size[0]
    assert 0 <= upper < lower <= size[1]


def test_random_crops_cover_the_ranges_of_area_and_aspect() -> None:
    generator = np.random.default_rng(0)
    boxes = np.array([random_crop((1000, 1000), generator) for _ in range(4000)])
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    areas, aspects = widths * heights / 1e6, widths / heights
    # Rounding to whole pixels moves both by less than 1% at this size.
    assert 0.079 < areas.min() < 0.09 and 0.95 < areas.max() <= 1
    assert 0.745 < aspects.min() < 0.76 and 1.32 < aspects.max() < 1.34
    # The logarithm of the aspect ratio is even: wide and tall are as likely (4,000 draws, 4 sigma).
    assert abs((aspects > 1).mean() - 0.5) < 4 * 0.5 / 4000**0.5


def test_a_long_picture_falls_back_to_its_centre() -> None:
    left, upper, right, lower = random_crop((1000, 2), np.random.default_rng(0))
    assert (right - left) / (lower - upper) == pytest.approx(4 / 3)
    assert left + right == pytest.approx(1000)


def test_a_shift_moves_pixels_and_brings_in_black() -> None:
    image = noise(6, 8)
    moved = np.asarray(shifted(image, 2, -1))
    np.testing.assert_array_equal(moved[:5, 2:], np.asarray(image)[1:, :-2])
    assert not moved[:, :2].any()
    assert not moved[5].any()


EVERYTHING = Augmentation(shift=2, flip=True, resized_crop=True)
IDENTITY = Preparation(8, mean=(0.0,) * 3, std=(1 / 255,) * 3)


def test_the_same_generator_gives_the_same_image() -> None:
    first, second, other = (EVERYTHING(noise(20, 20), IDENTITY, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_no_augmentation_is_the_preparation_itself() -> None:
    image = noise(20, 30)
    np.testing.assert_array_equal(Augmentation()(image, IDENTITY, np.random.default_rng(0)), IDENTITY(image))


def test_a_flip_mirrors_half_of_the_images() -> None:
    image = noise(8, 8)
    straight = IDENTITY(image)
    flips = 0
    for seed in range(400):
        result = Augmentation(flip=True)(image, IDENTITY, np.random.default_rng(seed))
        flipped = bool((result == straight[:, ::-1]).all())
        assert flipped or (result == straight).all()
        flips += flipped
    assert abs(flips - 200) < 4 * 10  # 4 sigma of 400 fair coins


def test_a_shift_reaches_every_offset() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[4, 4] = 255
    image = Image.fromarray(pixels)
    reached = set()
    for seed in range(200):
        result = Augmentation(shift=1)(image, IDENTITY, np.random.default_rng(seed))
        reached.add(tuple(np.argwhere(result[:, :, 0] > 0)[0]))
    assert reached == {(row, column) for row in (3, 4, 5) for column in (3, 4, 5)}


def test_a_preparation_survives_the_way_through_json() -> None:
    preparation = Preparation(64, 0.9, True, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    values = {**preparation.to_json(), "mean": [0.1, 0.2, 0.3]}
    assert Preparation.from_json(values) == preparation


@pytest.mark.parametrize(
    "values",
    [
        {},
        None,
        {**IDENTITY.to_json(), "colour": 1},
        {**IDENTITY.to_json(), "mean": 3},
        {**IDENTITY.to_json(), "image_size": "large"},
        {**IDENTITY.to_json(), "std": [1, 1]},
    ],
)
def test_a_preparation_of_other_fields_is_refused(values: object) -> None:
    with pytest.raises(MinigradError):
        Preparation.from_json(values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"image_size": 0}, "image_size"),
        ({"image_size": 8, "crop_fraction": 0.0}, "crop_fraction"),
        ({"image_size": 8, "crop_fraction": 1.5}, "crop_fraction"),
        ({"image_size": 8, "std": (1.0, 0.0, 1.0)}, "std"),
        ({"image_size": 8, "mean": (1.0, 0.0)}, "mean"),
    ],
)
def test_nonsense_is_refused_by_name(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(MinigradError, match=named):
        Preparation(**arguments)  # type: ignore[arg-type]
