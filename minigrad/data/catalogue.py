"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from minigrad.kernels.errors import MinigradError

from .cifar10 import cifar10
from .dataset import ImageDataset
from .digits import digits
from .idx import fashion_mnist, mnist
from .image_folder import image_folder

# Those that are read from a folder of the person's own.
FOLDER_DATASETS: Mapping[str, Callable[..., ImageDataset]] = {
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "folder": image_folder,
}
DATASET_NAMES = ("digits", *FOLDER_DATASETS)


def load_dataset(name: str, folder: str | Path | None = None, image_size: int | None = None) -> ImageDataset:
    """The data set `name`; nothing is ever downloaded.

    Args:
        name: one of DATASET_NAMES.
        folder: where its files are; "digits" needs none.
        image_size: height and width of the network's input in pixels; by default 64, for "folder" 224.

    Raises:
        MinigradError: an unknown name, a folder missing or not wanted, or files that are not as expected.
    """
    size = {} if image_size is None else {"image_size": image_size}
    if name == "digits":
        if folder is not None:
            raise MinigradError(f"data set 'digits' comes with scikit-learn and takes no folder, not {folder}")
        return digits(**size)
    if not isinstance(name, str) or name not in FOLDER_DATASETS:
        raise MinigradError(f"there is no data set {name!r}; there are: {', '.join(DATASET_NAMES)}")
    if folder is None:
        raise MinigradError(f"data set {name!r} is read from files of yours: name their folder")
    if not isinstance(folder, str | Path) or folder == "":
        raise MinigradError(f"data set {name!r}: the folder must be a path, not {folder!r}")
    return FOLDER_DATASETS[name](folder, **size)
