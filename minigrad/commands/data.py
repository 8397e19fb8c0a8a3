"""The data set that `--data` and `--data-dir` name."""

from __future__ import annotations

from pathlib import Path

from minigrad.data import DATASET_NAMES, FOLDER_DATASETS, ImageDataset, load_dataset
from minigrad.train.config import ConfigError

FOLDER = "folder"  # a data set of image files goes by its folder here, not by this name
NAMES = tuple(name for name in DATASET_NAMES if name != FOLDER)


def normal_data(data: str) -> str:
    """`data` in the form that a run remembers: a name, or the absolute path of a folder.

    Raises:
        ConfigError: it is neither.
    """
    if data in NAMES:
        return data
    path = Path(data)
    if not data or not path.is_dir():
        raise ConfigError(
            f"--data {data}: there is no such folder, and no data set of that name (there are: {', '.join(NAMES)})"
        )
    return str(path.resolve())


def normal_folder(folder: str | None) -> str | None:
    """The absolute path of `--data-dir`."""
    if folder == "":
        raise ConfigError("--data-dir must name a folder, and is empty")
    return None if folder is None else str(Path(folder).resolve())


def open_data(data: str, folder: str | None, size: int | None) -> ImageDataset:
    """The data set of `--data` (see `normal_data`), `--data-dir` and `--size`.

    Raises:
        ConfigError: a folder is missing or not wanted.
        MinigradError: it does not hold what it should.
    """
    if data not in NAMES:
        if folder is not None:
            raise ConfigError(
                f"--data {data} is a folder itself, and --data-dir {folder} has no meaning beside it"
            )
        return load_dataset(FOLDER, data, size)
    if data in FOLDER_DATASETS and folder is None:
        raise ConfigError(f"--data {data} is read from files of yours: name their folder by --data-dir")
    if data not in FOLDER_DATASETS and folder is not None:
        raise ConfigError(f"--data {data} comes with scikit-learn; --data-dir {folder} has no meaning beside it")
    return load_dataset(data, folder, size)
