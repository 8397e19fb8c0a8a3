"""Reading an image file into pixels."""

from __future__ import annotations

from os import PathLike

import numpy as np
from PIL import Image, ImageOps

from minigrad.kernels.errors import MinigradError

# Endings of the image files that a data set folder is searched for, in lower case.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")


def read_image(path: str | PathLike[str]) -> Image.Image:
    """The picture in the file `path`, upright (EXIF orientation applied), 8-bit RGB.

    Raises:
        MinigradError: the file is missing, unreadable, truncated, or not an image.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(_eight_bits(image)).convert("RGB")
    except FileNotFoundError:
        raise MinigradError(f"image {path}: there is no such file") from None
    except Exception as error:
        # Pillow's decoders raise errors of a dozen kinds on bad bytes: OSError, SyntaxError, ...
        raise MinigradError(f"image {path} cannot be decoded: {error}") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """`image`, where it holds 16-bit greys scaled to 8 bits: Pillow's own conversion clips at 255."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
