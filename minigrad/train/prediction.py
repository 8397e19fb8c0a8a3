"""A trained model from its checkpoint, with all that reading new images needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minigrad import models
from minigrad.autograd import no_grad
from minigrad.creation import asarray
from minigrad.data import Preparation
from minigrad.kernels.errors import MinigradError
from minigrad.nn import Captured, Module
from minigrad.nn.captured import is_of_known_parts

from .checkpoint import BEST, read_weights
from .evaluation import main_logits, to_numpy


@dataclass(frozen=True)
class TrainedModel:
    """What a checkpoint of weights describes.

    Attributes:
        path: the file.
        model: in evaluation mode; after the first picture its numbers have to stay as they are.
        class_names: class i is called class_names[i].
        preparation: turns any picture into the model's input.
        data: name and folder of the data set it was trained on.
    """

    path: Path
    model: Module
    class_names: tuple[str, ...]
    preparation: Preparation
    data: dict[str, Any]
    device: str = "cpu"

    @cached_property
    def _run(self) -> Any:
        return Captured(self.model, frozen=True) if is_of_known_parts(self.model) else self.model

    def probabilities(self, image: Image.Image) -> np.ndarray:
        """The probability of each class (classes,), float64, for one picture of any size."""
        prepared = self.preparation(image).transpose(2, 0, 1)[np.newaxis]
        with no_grad():
            logits = to_numpy(main_logits(self._run(asarray(prepared, device=self.device))))[0].astype(np.float64)
        exponentials = np.exp(logits - logits.max())
        return exponentials / exponentials.sum()


def load_trained(path: str | Path, device: str = "cpu") -> TrainedModel:
    """Read a checkpoint of weights, or the best one of a run's folder.

    Raises:
        MinigradError: the file is missing, corrupt, no checkpoint of weights, or of a model that is not here; its
            weights are not finite, or its class names are not as many as the model's classes.
    """
    path = Path(path)
    path = path / BEST if path.is_dir() else path
    weights, description = read_weights(path)
    try:
        name, arguments = description["model"]["name"], dict(description["model"]["arguments"])
        class_names = tuple(description["class_names"])
        data = dict(description["data"])
        preparation = Preparation.from_json(description["preparation"])
    except (KeyError, TypeError, MinigradError) as error:
        raise MinigradError(f"checkpoint {path} does not describe its model: {error}") from error
    try:
        model = models.build(name, **arguments)
        model.load_state_dict(weights)
    except (MinigradError, TypeError) as error:
        raise MinigradError(f"checkpoint {path}, of the model {name!r}: {error}") from error
    broken = next((key for key, array in weights.items() if not np.isfinite(array).all()), None)
    if broken:
        raise MinigradError(f"checkpoint {path}: {broken} holds values that are not finite")
    if arguments.get("num_classes") != len(class_names):
        raise MinigradError(
            f"checkpoint {path} names {len(class_names)} classes, its model has {arguments.get('num_classes')}"
        )
    return TrainedModel(path, model.eval().to(device), class_names, preparation, data, device)
