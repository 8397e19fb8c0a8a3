"""The model that `--model` names, and the size of images that it takes."""

from __future__ import annotations

from minigrad import models
from minigrad.train.config import ConfigError

LARGEST_SIZE = 1 << 16


def require_model(name: str, size: int | None) -> None:
    """Refuse, before any work is done, a model that does not exist and images that are too small for it.

    Raises:
        ConfigError: names `--model` or `--size`.
    """
    if name not in models.MODELS:
        raise ConfigError(f"--model {name!r}: there is no such model; there are: {', '.join(models.MODELS)}")
    if size is not None and size > LARGEST_SIZE:
        raise ConfigError(f"--size {size} is more than the {LARGEST_SIZE} pixels that an image may be wide")
    least = getattr(models.MODELS[name], "minimum_size", 1)
    if size is not None and size < least:
        raise ConfigError(f"--size {size} is too small for {name}, which needs images of at least {least}x{least}")
