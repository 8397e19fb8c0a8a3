"""One batch's change of the weights: launch by launch, or as a graph that runs while the next one is asked for."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, NoReturn

import numpy as np

from minigrad.creation import asarray
from minigrad.inspect import detect_anomaly
from minigrad.nn import Module
from minigrad.nn.captured import is_of_known_parts
from minigrad.optim import Optimizer, Scheduler, WeightAverage, clip_grad_norm_
from minigrad.random import default_generator
from minigrad.tensor import Tensor

from .captured_step import CapturedStep, Objective, Outcome
from .config import TrainConfig
from .evaluation import main_logits, to_numpy
from .loss_scaling import LossScale
from .non_finite import NonFiniteStep, StepStart, examined, gradients_are_finite
from .precision import computing_in
from .world import World, average_gradients

Made = tuple[np.ndarray, np.ndarray]  # the logits (N, classes) of a step that was made, and its labels


class _Launched(NamedTuple):
    """A step that was asked for, and what it started from."""

    outcome: Outcome
    images: np.ndarray
    labels: np.ndarray
    random: dict[str, int]


class Steps:
    """The steps of a run.

    Args:
        config: the options of the run.
        model, optimizer, scheduler: on `device`.
        objective: the loss of the model's outputs and labels.
        average, loss_scale: where the run has one.
        world: the processes that train together.

    Attributes:
        captured: the step as a CUDA graph, on a CPU as a plan, once there is one; see `TrainConfig.graph`.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: Module,
        objective: Objective,
        optimizer: Optimizer,
        scheduler: Scheduler,
        average: WeightAverage | None,
        loss_scale: LossScale | None,
        device: str,
        world: World,
    ) -> None:
        self.config, self.model, self.objective = config, model, objective
        self.optimizer, self.scheduler, self.average = optimizer, scheduler, average
        self.loss_scale, self.device, self.world = loss_scale, device, world
        self.captured: CapturedStep | None = None
        self._examined = examined(model)
        self._launched: deque[_Launched] = deque()

    def prepare(self) -> None:
        """Have what the next steps need, the model being in training mode."""
        if self.captured is None and self._may_be_captured():
            self.captured = CapturedStep(
                self.model,
                self.objective,
                self.optimizer,
                self.config.precision,
                self.config.clip_norm,
                self.loss_scale,
                self.average,
            )

    def make(self, images: np.ndarray, labels: np.ndarray) -> Iterator[Made]:
        """Ask for one step; gives those that have been made, of which this one may not be one yet.

        Raises:
            NonFiniteStep: one was not finite; the weights are as they were before it.
        """
        if self.captured is None:
            yield self.make_now(images, labels), labels
            return
        random = default_generator.state_dict()
        self._launched.append(_Launched(self.captured(images, labels), images, labels, random))
        self.scheduler.step()
        yield from self.rest(but=1)  # the GPU is never without work

    def rest(self, but: int = 0) -> Iterator[Made]:
        """Wait for the steps that were asked for, but for the last ones. Raises as `make`."""
        while len(self._launched) > but:
            launched = self._launched.popleft()
            if not launched.outcome.is_finite:
                self._launched.clear()
                self._fail(launched)
            yield launched.outcome.logits, launched.labels

    def settle(self) -> None:
        """Have in the optimiser, the loss scale and the average what the GPU has counted."""
        if self.captured is not None:
            self.captured.settle()

    def make_now(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Make one step, launch by launch; gives the logits. Raises as `make`."""
        x, targets = asarray(images, device=self.device), asarray(labels, device=self.device)
        start = StepStart(self.model)

        def forward() -> tuple[Any, Tensor]:
            outputs = self.model(x)
            return outputs, self.objective(outputs, targets)

        with self._watched(), computing_in(self.config.precision, self.optimizer.parameters()):
            outputs, loss = forward()
            value = float(loss.item())
            if math.isfinite(value):
                self._scaled(loss).backward()
        if self.loss_scale and math.isfinite(value) and not self.loss_scale.fits(self.model.parameters()):
            self.optimizer.zero_grad()
            self.scheduler.step()
            return to_numpy(main_logits(outputs))
        if not (math.isfinite(value) and gradients_are_finite(self._examined)):
            self._refuse(value, start, lambda: forward()[1])
        average_gradients(self.world, self.model.parameters())
        if self.config.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.scheduler.step()
        if self.average:
            self.average.update()
        return to_numpy(main_logits(outputs))

    def _may_be_captured(self) -> bool:
        """Whether all that a step of this run does is known to be launches of kernels, which wait for nobody."""
        config = self.config
        if not config.graph or config.detect_anomaly or self.world.world_size > 1:
            return False
        return self.device == "cuda" or (self.device == "cpu" and is_of_known_parts(self.model))

    def _fail(self, launched: _Launched) -> NoReturn:
        """Say what was wrong with a step that was asked for; the weights are as they were before it."""
        self.settle()
        x, targets = (asarray(array, device=self.device) for array in (launched.images, launched.labels))
        start = StepStart(self.model, launched.random)
        self._refuse(launched.outcome.loss, start, lambda: self.objective(self.model(x), targets))

    def _refuse(self, value: float, start: StepStart, loss: Callable[[], Tensor]) -> NoReturn:
        """Raise a NonFiniteStep that names what made the loss `value`, or else a gradient, not finite."""
        found = f"loss {value:g}" if not math.isfinite(value) else "a gradient that is not finite"
        with computing_in(self.config.precision):
            cause = start.cause(lambda: self._scaled(loss()).backward())
        raise NonFiniteStep(found, cause)

    def _scaled(self, loss: Tensor) -> Tensor:
        return self.loss_scale.scaled(loss) if self.loss_scale else loss

    def _watched(self) -> AbstractContextManager[None]:
        return detect_anomaly() if self.config.detect_anomaly else nullcontext()
