"""Data sets, the transforms of their images, and the loader that makes batches of them."""

from .catalogue import DATASET_NAMES, FOLDER_DATASETS, load_dataset
from .dataset import ArrayImages, FileImages, ImageDataset, ImageSource
from .decode import read_image
from .loader import Batch, Loader
from .transforms import Augmentation, Preparation

__all__ = [
    "DATASET_NAMES",
    "FOLDER_DATASETS",
    "ArrayImages",
    "Augmentation",
    "Batch",
    "FileImages",
    "ImageDataset",
    "ImageSource",
    "Loader",
    "Preparation",
    "load_dataset",
    "read_image",
]
