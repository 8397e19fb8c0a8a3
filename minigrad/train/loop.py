"""The training loop: steps, an evaluation an epoch, checkpoints, and a resume that changes no bit.

All that decides the next step lies in `Training.state`: weights and buffers, the optimiser, the schedule, the
average of the weights, the random numbers, the position in the data, and the sums of the epoch so far. A run that
is stopped and resumed therefore gives the bits, and the lines of metrics.jsonl, of one that was not (times aside).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from minigrad import models
from minigrad.data import ImageDataset, Loader
from minigrad.inspect import AnomalyError
from minigrad.nn import Module
from minigrad.optim import Scheduler
from minigrad.random import default_generator
from minigrad.tensor import Tensor

from .checkpoint import read_resume, require_same, write_resume, write_weights
from .config import TrainConfig, binding_options
from .evaluation import Evaluation, Tally, evaluate
from .interruption import Interrupted, Interruption
from .loss_scaling import LossScale
from .metrics import append_metrics, cut_metrics
from .non_finite import NonFiniteError, NonFiniteStep
from .precision import computing_in
from .progress import Progress, Silent
from .recipe import make_average, make_optimizer, make_schedule
from .run_folder import RunFolder
from .steps import Made, Steps
from .world import Alone, World


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
        steps: how batches change the weights; makes the step a CUDA graph, see `TrainConfig.graph`.
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
        self._interruption = Interruption()
        self.steps = self._make_steps()

    def _make_steps(self) -> Steps:
        learning = self.optimizer, self.scheduler, self.average, self.loss_scale
        return Steps(self.config, self.model, self.objective, *learning, self.device, self.world)

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
        self.steps.settle()
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
        self.steps = self._make_steps()  # a captured step would go on from where it was
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
        except NonFiniteStep as error:
            raise NonFiniteError(f"{error.found} {self._position()}: {error.cause}; {self._saved()}") from error
        except AnomalyError as error:
            raise NonFiniteError(f"{self._position()}: {error}; {self._saved()}") from error
        finally:
            self.progress.stop()

    def _train(self) -> None:
        """The rest of the present epoch."""
        self.model.train()
        self.steps.prepare()
        self.progress.begin(self.epoch + 1, len(self.train_loader), self.batch)
        since = time.perf_counter()
        with closing(self.train_loader.epoch(self.epoch, self.batch)) as batches:  # type: ignore[type-var]
            for images, labels in batches:
                self._count(self.steps.make(images, labels))
                every = self.config.checkpoint_every
                due = bool(every) and self.scheduler.steps % every == 0
                if due:
                    self._count(self.steps.rest())
                self.tally.seconds += time.perf_counter() - since
                self.progress.advance(self.tally)
                self._obey_interruption()
                if due and self.batch < len(self.train_loader):
                    self.save()
                since = time.perf_counter()
            self._count(self.steps.rest())
            self.steps.settle()
            self.tally.seconds += time.perf_counter() - since

    def _count(self, made: Iterable[Made]) -> None:
        for logits, labels in made:
            self.tally.add(logits, labels)
            self.batch += 1

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
            self._count(self.steps.rest())
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
