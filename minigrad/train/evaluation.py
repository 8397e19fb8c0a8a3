"""Loss, accuracy and confusion matrix of logits that were computed anyway."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from minigrad.autograd import no_grad
from minigrad.creation import asarray
from minigrad.data import Loader
from minigrad.nn import Captured, Module
from minigrad.nn.captured import is_of_known_parts
from minigrad.tensor import Tensor

from .confusion import confusion_matrix
from .non_finite import NonFiniteError, locate
from .world import Alone, World


@dataclass
class Tally:
    """Sums over the images seen so far.

    Attributes:
        images: how many there were.
        right: how many had their class as the highest logit.
        loss: the sum of their cross-entropies, of the main classifier and without label smoothing.
        seconds: how long it took.
    """

    images: int = 0
    right: int = 0
    loss: float = 0.0
    seconds: float = 0.0

    def add(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Count a batch: `logits` (N, C), `labels` (N,). Gives the predicted classes (N,)."""
        rows = logits.astype(np.float64)
        rows -= rows.max(axis=1, keepdims=True)
        own = rows[np.arange(len(labels)), labels]
        predictions: np.ndarray = logits.argmax(axis=1)
        self.images += len(labels)
        self.right += int((predictions == labels).sum())
        self.loss += float((np.log(np.exp(rows).sum(axis=1)) - own).sum())
        return predictions

    def over(self, world: World) -> Tally:
        """The sums over all processes; the seconds stay this one's."""
        images, right, loss = world.all_reduce(np.array([self.images, self.right, self.loss]))
        return Tally(int(images), int(right), float(loss), self.seconds)

    @property
    def mean_loss(self) -> float:
        return self.loss / max(1, self.images)

    @property
    def accuracy(self) -> float:
        """As a fraction of 1."""
        return self.right / max(1, self.images)

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds if self.seconds > 0 else 0.0


@dataclass
class Evaluation:
    """What a model makes of the test images: the sums, and the matrix of `confusion_matrix`."""

    tally: Tally = field(default_factory=Tally)
    confusion: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))


def main_logits(outputs: Any) -> Tensor:
    """The logits that count, of a model that returns them alone or first in a tuple."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


def to_numpy(x: Tensor) -> np.ndarray:
    """The values of `x` on the host; those of 16 bits as float32."""
    values = np.asarray(x.numpy())
    return values.astype(np.float32) if values.dtype.itemsize == 2 else values


def evaluate(
    model: Module,
    loader: Loader,
    device: str = "cpu",
    world: World | None = None,
    after_batch: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Run `model`, as in evaluation, over all images of `loader`; its mode is as before afterwards.

    `after_batch` is called after each batch.

    Raises:
        NonFiniteError: the logits are not finite; names the operation.
    """
    world = world or Alone()
    classes = len(loader.dataset.class_names)
    evaluation = Evaluation(Tally(), np.zeros((classes, classes), np.int64))
    was_training = model.training
    model.eval()
    run = Captured(model, frozen=True) if is_of_known_parts(model) else model
    try:
        with no_grad(), closing(loader.epoch(0)) as batches:  # type: ignore[type-var]
            for images, labels in batches:
                x = asarray(images, device=device)
                predictions = evaluation.tally.add(to_numpy(main_logits(run(x))), labels)
                if not math.isfinite(evaluation.tally.loss):
                    raise NonFiniteError(f"the loss on the test images is not finite: {locate(partial(model, x))}")
                evaluation.confusion += confusion_matrix(labels, predictions, classes)
                after_batch()
    finally:
        model.train(was_training)
    evaluation.tally = evaluation.tally.over(world)
    evaluation.confusion = world.all_reduce(evaluation.confusion)
    return evaluation
