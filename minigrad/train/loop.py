"""The training loop: steps, an evaluation an epoch, checkpoints, and a resume that changes no bit.

All that decides the next step lies in `Training.state`: weights and buffers, the optimiser, the schedule, the
average of the weights, the random numbers, the position in the data, and the sums of the epoch so far. A run that
is stopped and resumed therefore gives the bits, and the lines of metrics.jsonl, of one that was not (times aside).
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple, NoReturn

import numpy as np

from minigrad import models
from minigrad.creation import asarray
from minigrad.data import ImageDataset, Loader
from minigrad.inspect import AnomalyError, detect_anomaly
from minigrad.nn import Module
from minigrad.optim import Scheduler, clip_grad_norm_
from minigrad.random import default_generator
from minigrad.tensor import Tensor

from .captured_step import CapturedStep, Outcome
from .checkpoint import read_resume, require_same, write_resume, write_weights
from .config import TrainConfig, binding_options
from .evaluation import Evaluation, Tally, evaluate, main_logits, to_numpy
from .interruption import Interrupted, Interruption
from .loss_scaling import LossScale
from .metrics import append_metrics, cut_metrics
from .non_finite import NonFiniteError, StepStart, examined, gradients_are_finite
from .precision import computing_in
from .progress import Progress, Silent
from .recipe import make_average, make_optimizer, make_schedule
from .run_folder import RunFolder
from .world import Alone, World, average_gradients


class _Launched(NamedTuple):
    """A step that was asked for, and what it started from."""

    outcome: Outcome
    images: np.ndarray
    labels: np.ndarray
    random: dict[str, int]


class Training:
    """One run: a model, the data, and everything between them.

    Args:
        config: the options, completed (see `TrainConfig.completed`).
        dataset: what to train and to test on.
        model: any Module that maps images (N, 3, H, W) to logits (N, classes), or to GoogLeNetOutputs.
        folder: where the run's files are.
        device: where the model and the batches lie, "cpu" or "cuda".
        progress: is told how it goes.
        world: the processes that train together.

    Attributes:
        epoch: epochs completed, evaluation included.
        batch: batches of the present epoch that have been trained on and counted.
        captured: the step as a CUDA graph, once there is one; see `TrainConfig.graph`.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: ImageDataset,
        model: Module,
        folder: RunFolder,
        device: str = "cpu",
        progress: Progress | None = None,
        world: World | None = None,
    ) -> None:
        self.config, self.dataset, self.folder, self.device = config, dataset, folder, device
        self.model = model.to(device)
        self.progress = progress or Silent()
        self.world = world or Alone()
        self.objective = make_objective(config)
        loader = partial(
            Loader,
            dataset,
            batch_size=config.batch_size,
            seed=config.seed,
            rank=self.world.rank,
            world_size=self.world.world_size,
            workers=config.workers,
        )
        self.train_loader, self.test_loader = loader(training=True), loader(training=False)
        self.optimizer = make_optimizer(config, model.parameters())
        self.scheduler = Scheduler(self.optimizer, make_schedule(config, len(self.train_loader)))
        self.average = make_average(config, model)
        self.loss_scale = LossScale() if config.precision == "float16" else None

        self.epoch = 0
        self.batch = 0
        self.tally = Tally()
        self.best_accuracy = -1.0
        self.records: list[dict[str, Any]] = []
        self._examined = examined(model)
        self._interruption = Interruption()
        self.captured: CapturedStep | None = None
        self._launched: deque[_Launched] = deque()

    # What a resume needs

    def identity(self) -> dict[str, Any]:
        """What must be the same for a saved state to have a meaning here."""
        return {
            "options": binding_options(self.config),
            "class_names": list(self.dataset.class_names),
            "preparation": self.dataset.preparation.to_json(),
            "train_images": len(self.dataset.train),
            "test_images": len(self.dataset.test),
        }

    def state(self) -> dict[str, Any]:
        """Everything that continuing needs; the arrays share the run's memory."""
        self._settle()
        return {
            "identity": self.identity(),
            "epoch": self.epoch,
            "batch": self.batch,
            "tally": asdict(self.tally),
            "best_accuracy": self.best_accuracy,
            "random": default_generator.state_dict(),
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "loss_scale": self.loss_scale.state_dict() if self.loss_scale else None,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, which came from the same configuration.

        Raises:
            MinigradError: it belongs to another model or to other data; names what differs.
        """
        require_same(self.folder.resume, self.identity(), state["identity"])
        self.captured = None  # it would go on from where it was
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        if self.average:
            self.average.load_state_dict(state["average"])
        if self.loss_scale:
            self.loss_scale.load_state_dict(state["loss_scale"])
        default_generator.load_state_dict(state["random"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.tally = Tally(**state["tally"])
        self.best_accuracy = state["best_accuracy"]

    def resume(self) -> None:
        """Go on from the folder's resume file; from the beginning where the run had not come as far as one.

        Raises:
            MinigradError: the file is corrupt, or belongs to something else.
        """
        if self.folder.resume.exists():
            self.load_state(read_resume(self.folder.resume))

    def save(self) -> None:
        """Write the folder's resume file. Raises MinigradError, and keeps the one before, where that fails."""
        if self.world.rank == 0:
            write_resume(self.folder.resume, self.state())

    # The loop

    def run(self) -> Evaluation:
        """Train from where the run stands to its last epoch; gives the last evaluation.

        Raises:
            NonFiniteError: a loss or gradient is not finite; names the operation. Nothing was saved of that step.
            Interrupted: Ctrl-C; says what was saved.
            MinigradError: a file cannot be read or written.
        """
        self.records = cut_metrics(self.folder.metrics, self.epoch)
        evaluation = None
        try:
            with self._interruption.listening(), np.errstate(all="ignore"):
                while self.epoch < self.config.epochs:
                    self._train()
                    evaluation = self._finish_epoch()
                return evaluation or self._evaluate()
        except Interrupted:
            self.save()
            raise Interrupted(f"interrupted {self._position()}; saved: {self._continuation()}") from None
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted {self._position()}, not saved; {self._saved()}") from None
        except AnomalyError as error:
            raise NonFiniteError(f"{self._position()}: {error}; {self._saved()}") from error
        finally:
            self.progress.stop()

    def _train(self) -> None:
        """The rest of the present epoch."""
        self.model.train()
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
        self.progress.begin(self.epoch + 1, len(self.train_loader), self.batch)
        since = time.perf_counter()
        with closing(self.train_loader.epoch(self.epoch, self.batch)) as batches:  # type: ignore[type-var]
            for images, labels in batches:
                if self.captured is None:
                    self._count(self._step(images, labels), labels)
                else:
                    self._launch(self.captured, images, labels)
                    self._count_launched(but=1)  # the GPU is never without work
                every = self.config.checkpoint_every
                due = bool(every) and self.scheduler.steps % every == 0
                if due:
                    self._count_launched()
                self.tally.seconds += time.perf_counter() - since
                self.progress.advance(self.tally)
                self._obey_interruption()
                if due and self.batch < len(self.train_loader):
                    self.save()
                since = time.perf_counter()
            self._count_launched()
            self._settle()
            self.tally.seconds += time.perf_counter() - since

    def _count(self, logits: np.ndarray, labels: np.ndarray) -> None:
        self.tally.add(logits, labels)
        self.batch += 1

    def _launch(self, step: CapturedStep, images: np.ndarray, labels: np.ndarray) -> None:
        """Ask for one batch's change of the weights."""
        random = default_generator.state_dict()
        self._launched.append(_Launched(step(images, labels), images, labels, random))
        self.scheduler.step()

    def _count_launched(self, but: int = 0) -> None:
        """Wait for the steps that were asked for, but for the last ones, and count them."""
        while len(self._launched) > but:
            launched = self._launched.popleft()
            if not launched.outcome.is_finite:
                self._launched.clear()
                self._fail(launched)
            self._count(launched.outcome.logits, launched.labels)

    def _fail(self, launched: _Launched) -> NoReturn:
        """Raise a NonFiniteError; the weights are as they were before that step."""
        self._settle()
        x, targets = (asarray(array, device=self.device) for array in (launched.images, launched.labels))
        start = StepStart(self.model, launched.random)
        self._refuse(launched.outcome.loss, start, lambda: self.objective(self.model(x), targets))

    def _refuse(self, value: float, start: StepStart, loss: Callable[[], Tensor]) -> NoReturn:
        """Raise a NonFiniteError that names what made the loss `value`, or else a gradient, not finite."""
        found = f"loss {value:g}" if not math.isfinite(value) else "a gradient that is not finite"
        with computing_in(self.config.precision):
            cause = start.cause(lambda: self._scaled(loss()).backward())
        raise NonFiniteError(f"{found} {self._position()}: {cause}; {self._saved()}")

    def _settle(self) -> None:
        """Have in the optimiser, the loss scale and the average what the GPU has counted."""
        if self.captured is not None:
            self.captured.settle()

    def _step(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """One batch's change of the weights; gives the logits (N, classes)."""
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
        """Whether nothing in a step of this run has to wait for the GPU."""
        config = self.config
        return config.graph and self.device == "cuda" and self.world.world_size == 1 and not config.detect_anomaly

    def _scaled(self, loss: Tensor) -> Tensor:
        return self.loss_scale.scaled(loss) if self.loss_scale else loss

    def _watched(self) -> AbstractContextManager[None]:
        return detect_anomaly() if self.config.detect_anomaly else nullcontext()

    def _finish_epoch(self) -> Evaluation:
        """Evaluate, write the epoch down, and save all."""
        self.progress.testing()
        since = time.perf_counter()
        evaluation = self._evaluate()
        tally, test = self.tally.over(self.world), evaluation.tally
        record = {
            "epoch": self.epoch + 1,
            "train_loss": tally.mean_loss,
            "train_accuracy": tally.accuracy,
            "test_loss": test.mean_loss,
            "test_accuracy": test.accuracy,
            "images_per_second": round(tally.images_per_second, 2),
            "seconds": round(tally.seconds + time.perf_counter() - since, 3),
        }
        best = test.accuracy > self.best_accuracy
        if self.world.rank == 0:
            # The resume file comes last: killed before it, the run does this epoch again and writes the same.
            append_metrics(self.folder.metrics, record)
            with self._averaged():
                description = self.description(record)
                write_weights(self.folder.last, self.model.state_dict(), description)
                if best:
                    write_weights(self.folder.best, self.model.state_dict(), description)
        self.records.append(record)
        if best:
            self.best_accuracy = test.accuracy
        self.epoch, self.batch, self.tally = self.epoch + 1, 0, Tally()
        self.save()
        self.progress.end(record)
        return evaluation

    def _evaluate(self) -> Evaluation:
        with self._averaged(), computing_in(self.config.precision):
            return evaluate(self.model, self.test_loader, self.device, self.world, self._obey_interruption)

    def _averaged(self) -> AbstractContextManager[Any]:
        return self.average.applied() if self.average else nullcontext()

    def description(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """What stands beside the weights, for prediction and evaluation."""
        return {
            "model": {"name": self.config.model, "arguments": {"num_classes": len(self.dataset.class_names)}},
            "class_names": list(self.dataset.class_names),
            "preparation": self.dataset.preparation.to_json(),
            "data": {"name": self.config.data, "folder": self.config.data_dir},
            "metrics": dict(record),
        }

    # Words

    def _obey_interruption(self) -> None:
        if self._interruption.requested:
            self._interruption.requested = False
            self._count_launched()
            raise Interrupted

    def _position(self) -> str:
        return f"in epoch {self.epoch + 1} after {self.batch} of {len(self.train_loader)} batches"

    def _continuation(self) -> str:
        return f"go on with minigrad train --resume {self.folder.path}"

    def _saved(self) -> str:
        if self.folder.resume.exists():
            return f"the last checkpoint, {self.folder.resume}, is as it was"
        return "there was no checkpoint yet"


def make_objective(config: TrainConfig) -> Callable[[Any, Tensor], Tensor]:
    """The loss of a model's outputs and labels that `config` asks for."""
    return partial(models.loss, aux_weight=config.aux_weight, label_smoothing=config.label_smoothing)
