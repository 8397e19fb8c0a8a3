"""Image folders are read class by class; bad folders and bad images are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigrad.data import Loader, load_dataset, read_image
from minigrad.kernels.errors import MinigradError

COLOURS = {"blue": (10, 20, 200), "green": (20, 180, 30), "red": (220, 30, 20)}


def picture(colour: tuple[int, int, int], width: int = 40, height: int = 30) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("train", "val"):
        for name, colour in COLOURS.items():
            place = tmp_path / part / name
            place.mkdir(parents=True)
            for number, suffix in enumerate((".jpg", ".png", ".JPEG", ".bmp")):
                picture(colour).save(place / f"{number}{suffix}")
            (place / "notes.txt").write_text("not an image")
            (place / ".hidden.jpg").write_bytes(b"not an image")
    return tmp_path


@pytest.mark.parametrize("test_folder", ["val", "test"])
def test_class_folders_become_classes(folder: Path, test_folder: str) -> None:
    (folder / "val").rename(folder / test_folder)
    dataset = load_dataset("folder", folder, image_size=32)
    assert dataset.class_names == ("blue", "green", "red")
    for part in (dataset.train, dataset.test):
        assert len(part) == 12
        for index in range(12):
            image, label = part[index]
            expected = COLOURS[dataset.class_names[label]]
            # JPEG moves a flat colour by a few steps of 255.
            np.testing.assert_allclose(np.asarray(image)[15, 20], expected, atol=4)


def test_images_of_any_size_make_batches(folder: Path) -> None:
    for number, size in enumerate([(200, 20), (20, 200), (1, 1), (500, 333)]):
        picture((1, 2, 3), *size).save(folder / "train" / "red" / f"odd{number}.png")
    loader = Loader(load_dataset("folder", folder, image_size=24), training=True, batch_size=16)
    [(images, labels)] = loader.epoch(0)
    assert images.shape == (16, 3, 24, 24)
    assert sorted(labels) == [0] * 4 + [1] * 4 + [2] * 8


def refused(folder: Path, *words: str) -> None:
    """Loading the folder raises one sentence that holds all of `words`."""
    with pytest.raises(MinigradError) as caught:
        load_dataset("folder", folder)
    for word in words:
        assert word in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "nowhere does not exist")


def test_a_file_in_place_of_the_folder_is_named(folder: Path) -> None:
    refused(folder / "train" / "red" / "0.jpg", "0.jpg does not exist")


def test_an_empty_folder_is_told_what_it_should_hold(tmp_path: Path) -> None:
    refused(tmp_path, str(tmp_path), "train/CLASS/", "val/CLASS/", "holds: nothing")


def test_a_folder_without_a_test_part_says_what_it_holds(folder: Path) -> None:
    (folder / "val").rename(folder / "validation")
    refused(folder, "val/CLASS/", "holds: train, validation")


def test_a_part_without_classes_is_named(folder: Path) -> None:
    (folder / "val").rename(folder / "away")
    (folder / "val").mkdir()
    refused(folder, f"{folder / 'val'} has no class folders")


def test_a_class_without_images_is_named(folder: Path) -> None:
    for path in (folder / "train" / "green").iterdir():
        path.unlink()
    refused(folder, f"class folder {folder / 'train' / 'green'} holds no images", ".jpg")


def test_a_class_that_training_lacks_is_named(folder: Path) -> None:
    (folder / "val" / "red").rename(folder / "val" / "violet")
    refused(folder, "'violet'", "blue, green, red")


@pytest.mark.parametrize("kept", [0, 10, 300])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_a_truncated_image_is_named(tmp_path: Path, kept: int, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(MinigradError, match="cannot be decoded") as caught:
        read_image(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("threads_and_workers", [(0, 0), (2, 0), pytest.param((1, 2), marks=pytest.mark.slow)])
def test_the_loader_names_an_image_that_cannot_be_decoded(
    folder: Path, threads_and_workers: tuple[int, int]
) -> None:
    bad = folder / "train" / "green" / "1.png"
    bad.write_bytes(b"this is no picture")
    threads, workers = threads_and_workers
    dataset = load_dataset("folder", folder, image_size=16)
    loader = Loader(dataset, training=True, batch_size=2, threads=threads, workers=workers)
    with pytest.raises(MinigradError) as caught:
        list(loader.epoch(0))
    assert str(bad) in str(caught.value)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(MinigradError, match=r"gone\.jpg: there is no such file"):
        read_image(tmp_path / "gone.jpg")


def test_sixteen_bit_greys_keep_their_range(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[np.newaxis].repeat(4, axis=0)
    path = tmp_path / "scan.png"
    Image.fromarray(ramp).save(path)
    np.testing.assert_array_equal(np.asarray(read_image(path))[0, :, 0], ramp[0] >> 8)


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    image = picture((0, 0, 0), width=40, height=20)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was held turned by 90 degrees
    image.save(path, exif=exif)
    assert read_image(path).size == (20, 40)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_every_kind_of_picture_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("image.tiff" if mode == "CMYK" else "image.png")
    picture((255, 255, 255)).convert(mode).save(path)
    image = read_image(path)
    assert image.mode == "RGB"
    assert np.asarray(image).min() >= 250
