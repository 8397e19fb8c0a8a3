"""A small network and a small folder of images that train in a blink, with all that a run's state can hold.

Run as a program, it is the command line with the network added: python tests/claims/tiny.py train --model tiny ...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from minigrad import models
from minigrad.models import GoogLeNetOutputs
from minigrad.nn import BatchNorm2d, Conv2d, Dropout, Linear, Module, Sequential
from minigrad.ops.shape import flatten
from minigrad.tensor import Tensor

CLASSES = ("amber", "blue", "grey")
TRAIN_IMAGES, TEST_IMAGES = 8, 4  # of each class
SIDE = 12


class TinyNet(Module):
    """Convolution, batch norm, dropout and an auxiliary head, for images of 12x12."""

    def __init__(self, num_classes: int, width: int = 8) -> None:
        self.stem = Sequential(Conv2d(3, width, 3, stride=2, padding=1, bias=False), BatchNorm2d(width))
        self.dropout = Dropout(0.2)
        self.fc = Linear(width * 36, num_classes)
        self.aux = Linear(width * 36, num_classes)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        features = flatten(self.stem(x), 1)
        logits = self.fc(self.dropout(features))
        if self.training:
            return GoogLeNetOutputs(logits, self.aux(features), self.aux(features * 0.5))
        return logits


def write_images(root: Path) -> Path:
    """train/CLASS/*.png and val/CLASS/*.png, a colour a class with noise; gives `root`."""
    generator = np.random.default_rng(0)
    colours = {"amber": (230, 160, 40), "blue": (40, 60, 220), "grey": (120, 120, 120)}
    for part, count in (("train", TRAIN_IMAGES), ("val", TEST_IMAGES)):
        for name in CLASSES:
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                noise = generator.normal(0, 60, (SIDE, SIDE, 3))
                pixels = np.clip(np.array(colours[name]) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def options(data: Path, *more: str) -> list[str]:
    """The options that train TinyNet on `write_images(data)`: 3 batches an epoch."""
    return ["--model", "tiny", "--data", str(data), "--size", str(SIDE), "--batch-size", "8", *more]


def register() -> None:
    """Make TinyNet known as the model "tiny"."""
    models.MODELS["tiny"] = TinyNet  # type: ignore[assignment]


if __name__ == "__main__":
    from minigrad.cli import main

    register()
    sys.exit(main())
