"""Photographs in folders: train/CLASS/*.jpg, and val/CLASS/*.jpg or test/CLASS/*.jpg."""

from __future__ import annotations

from pathlib import Path

from minigrad.kernels.errors import MinigradError

from .dataset import FileImages, ImageDataset
from .decode import IMAGE_SUFFIXES
from .transforms import Augmentation, Preparation

TEST_FOLDERS = ("val", "test")


def image_folder(folder: str | Path, image_size: int = 224) -> ImageDataset:
    """A data set of image files: the class folders of `train`, sorted by name, are the classes.

    Raises:
        MinigradError: a folder is missing or empty, a class folder holds no images, or the test part has
            a class that the training part has not.
    """
    root = Path(folder)
    if not root.is_dir():
        raise MinigradError(f"data folder {root} does not exist")
    test = next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), None)
    if not (root / "train").is_dir() or test is None:
        raise MinigradError(
            f"data folder {root} should hold train/CLASS/ and val/CLASS/ (or test/CLASS/) with images, "
            f"and holds: {', '.join(sorted(entry.name for entry in root.iterdir())[:10]) or 'nothing'}"
        )
    class_names = tuple(_class_folders(root / "train"))
    unknown = sorted(set(_class_folders(test)) - set(class_names))
    if unknown:
        raise MinigradError(
            f"{test} has the class {unknown[0]!r}, which {root / 'train'} has not ({', '.join(class_names[:10])})"
        )
    return ImageDataset(
        name="folder",
        class_names=class_names,
        train=_part(root / "train", class_names),
        test=_part(test, class_names),
        # The usual evaluation of ImageNet's networks: the central 224 of 256 pixels.
        preparation=Preparation(image_size, crop_fraction=0.875),
        augmentation=Augmentation(flip=True, resized_crop=True),
    )


def _class_folders(part: Path) -> list[str]:
    names = sorted(entry.name for entry in part.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise MinigradError(f"{part} has no class folders; expected {part / 'CLASS'}/ with images inside")
    return names


def _part(part: Path, class_names: tuple[str, ...]) -> FileImages:
    paths: list[str] = []
    labels: list[int] = []
    for name in _class_folders(part):
        images = sorted(
            str(entry)
            for entry in (part / name).iterdir()
            if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".")
        )
        if not images:
            raise MinigradError(
                f"class folder {part / name} holds no images (files ending in {', '.join(IMAGE_SUFFIXES)})"
            )
        paths.extend(images)
        labels.extend([class_names.index(name)] * len(images))
    return FileImages(paths, labels)
