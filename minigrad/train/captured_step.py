"""A training step as one CUDA graph, launched by one call and waited for by nobody; on a CPU as one plan.

GoogLeNet's step is hundreds of launches. A GPU finishes most of them faster than Python asks for the next; on a
CPU the asking takes an eighth of the step. So the first step on batches of a shape is made launch by launch, which
compiles what has to be compiled; the second is captured, and from then on the same is launched. What changes from
step to step lies in arrays that are written before it: images, labels, learning rates, the place in the stream of
random numbers. What the step itself decides (is it finite? how long is the gradient? how is the loss scaled?) is
decided on the device by `minigrad.optim.StepControl`. A step's numbers are bit for bit those of the same launches
one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import zip_longest
from typing import Any

import numpy as np

from minigrad.device import library
from minigrad.kernels.arrays import Array
from minigrad.kernels.cpu.jit import get_num_threads
from minigrad.kernels.cpu.plan import Plan, PlanStream
from minigrad.kernels.cuda.graph import Graph, GraphStream, lasting_memory
from minigrad.kernels.errors import MinigradError
from minigrad.nn import Module
from minigrad.nn.functional.losses import require_labels
from minigrad.optim import Optimizer, StepControl, WeightAverage
from minigrad.optim.step_control import STOPPED
from minigrad.random import Generator, default_generator
from minigrad.tensor import Tensor

from .evaluation import main_logits
from .loss_scaling import GROWS_AFTER, LossScale
from .precision import computing_in
from .staging import Copies, Values, copies

Stream = GraphStream | PlanStream
Objective = Callable[[Any, Tensor], Tensor]

MOST_BATCHES = 4  # that memory and graphs are kept for: shapes, each with the settings of the step


class Outcome:
    """What came of a step on a number of `classes`, or will have: reading it waits for the device."""

    def __init__(self, classes: int, logits: Values, loss: Values, state: Values) -> None:
        self.classes = classes
        self._logits, self._loss, self._state = logits, loss, state

    @property
    def logits(self) -> np.ndarray:
        """(N, classes); of 16 bits as float32."""
        values = self._logits.read()
        return values.astype(np.float32) if values.dtype.itemsize == 2 else values

    @property
    def loss(self) -> float:
        return float(self._loss.read())

    @property
    def is_finite(self) -> bool:
        """False from the first step on whose loss or gradients were not; the weights are those before it."""
        return not self._state.read()[STOPPED]


class _Batch:
    """The memory of batches of one shape, and the graph of a step on them once there is one."""

    def __init__(self, stream: Stream, images: np.ndarray, labels: np.ndarray) -> None:
        xp = stream.xp
        self.images, self.labels = xp.empty(images.shape, images.dtype), xp.empty(labels.shape, labels.dtype)
        self.image_copies, self.label_copies = copies(stream, self.images), copies(stream, self.labels)
        self.stream = stream
        self.graph: Graph | Plan | None = None
        self.results: tuple[Array, Array] | None = None  # logits and loss
        self.drawn: list[int] = []  # by each generator, in blocks
        self._downloads: list[Copies] = []

    def upload(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.image_copies.upload(images, self.images)
        self.label_copies.upload(labels, self.labels)

    def outcome(self, state: Array) -> Outcome:
        assert self.results is not None
        arrays = (*self.results, state)
        if not self._downloads:
            self._downloads = [copies(self.stream, array) for array in arrays]
        pairs = zip(self._downloads, arrays, strict=True)
        return Outcome(arrays[0].shape[1], *(copy.download(array) for copy, array in pairs))


class CapturedStep:
    """The training steps of a model on one device.

    Learning rates, the seeds of random numbers and the options of the optimiser's groups count from the next step
    on, and so do the number of threads, `model.training` and which parameters require a gradient; each of them but
    the learning rates makes a graph of its own. All else that the step does is as it was when its graph was
    captured: the modes of single modules, what they were made with (such as the p of a dropout), hooks, the
    objective, the optimiser's groups, the choice of kernels, `autocast`. After a change there, make a new one.

    Args:
        model: maps images to logits, or to a tuple that begins with them; in training mode while steps are made.
        objective: the loss of the model's outputs and labels.
        optimizer: of the model's parameters; its learning rates are read at each step.
        precision: what to compute in; see `TrainConfig`.
        clip_norm: cut the norm of all gradients down to this.
        loss_scale: scale the loss by this, and let it follow what the gradients do.
        average: of the model's weights, updated after each step.

    Raises:
        MinigradError: if the parameters do not all lie on one device.
    """

    def __init__(
        self,
        model: Module,
        objective: Objective,
        optimizer: Optimizer,
        precision: str = "float32",
        clip_norm: float | None = None,
        loss_scale: LossScale | None = None,
        average: WeightAverage | None = None,
    ) -> None:
        self.model, self.objective, self.optimizer = model, objective, optimizer
        self.precision, self.loss_scale = precision, loss_scale
        grows_after = GROWS_AFTER if loss_scale else 0
        self.control = StepControl(optimizer, clip_norm, grows_after=grows_after, average=average)
        if loss_scale:
            self.control.write(loss_scale.factor, loss_scale.steps)
        device = optimizer.parameters()[0].device
        xp = library(device)
        self.stream: Stream = PlanStream() if device == "cpu" else GraphStream(xp)
        own = [getattr(module, "generator", None) for module in model.modules()]
        generators = dict.fromkeys([default_generator, *own])
        self._generators = [
            (generator, xp.zeros((), np.uint64)) for generator in generators if isinstance(generator, Generator)
        ]
        self._tensors = list(dict.fromkeys([*optimizer.parameters(), *model.parameters(), *model.buffers()]))
        self._memory = self._present_memory()
        self._batches: dict[Any, _Batch] = {}  # the one that was used last at the end
        self._classes: int | None = None

    def __call__(self, images: np.ndarray, labels: np.ndarray) -> Outcome:
        """Ask for one step on `images` (N, C, H, W) and `labels`; returns before it has been made.

        Raises:
            ShapeError: if a label is no class.
            MinigradError: if arrays of the model or the optimiser were replaced since this step was made for them.
        """
        if self._classes is not None:
            require_labels(labels, self._classes)
        return self._run(images, labels, upload=True)

    def _run(self, images: np.ndarray, labels: np.ndarray, upload: bool) -> Outcome:
        if any(now is not then for now, then in zip_longest(self._present_memory(), self._memory)):
            raise MinigradError(
                "arrays of the model or the optimiser were replaced by others (by Module.to, a load_state_dict or "
                "an assignment to data), and a captured step works on those that it was made for: make a new one"
            )
        if images.ndim == 4:
            images = images.transpose(0, 2, 3, 1)
        with self.stream, self.stream.own_memory():
            batch = self._batch(images, labels)
            if upload or batch.results is None:
                batch.upload(images, labels)
            self.control.write_rates()
            for generator, place in self._generators:
                place.fill(np.uint64(generator.offset % 2**64))
            if batch.graph is not None:
                batch.graph.launch()
                for (generator, _), blocks in zip(self._generators, batch.drawn, strict=True):
                    generator.reserve(blocks)
            elif batch.results is None:
                batch.results = self._step(batch)
            else:
                before = [generator.offset for generator, _ in self._generators]
                batch.graph, batch.results = self.stream.capture_and_launch(lambda: self._step(batch))
                after = [generator.offset for generator, _ in self._generators]
                batch.drawn = [end - start for start, end in zip(before, after, strict=True)]
            outcome = batch.outcome(self.control.state)
        self._classes = outcome.classes
        for tensor in self._tensors:
            tensor.note_change("a captured training step")
        return outcome

    def repeat(self, images: np.ndarray, labels: np.ndarray) -> Outcome:
        """As a call, on what was uploaded last where there is something: for measuring the step alone."""
        return self._run(images, labels, upload=False)

    def settle(self) -> None:
        """Tell optimiser, loss scale and average how far they have come; waits for the device."""
        scale, good_steps = self.control.read()
        if self.loss_scale:
            self.loss_scale.factor, self.loss_scale.steps = scale, good_steps

    def _batch(self, images: np.ndarray, labels: np.ndarray) -> _Batch:
        key = images.shape, images.dtype, labels.shape, labels.dtype, self._settings()
        batch = self._batches.pop(key, None)
        if batch is None:
            if len(self._batches) == MOST_BATCHES:
                self.stream.synchronize()  # what goes may be in use
                del self._batches[next(iter(self._batches))]
            with lasting_memory(self.stream.xp):
                self.optimizer.make_state()  # options that have changed may need more
            self._memory = self._present_memory()
            batch = _Batch(self.stream, images, labels)
        self._batches[key] = batch
        return batch

    def _settings(self) -> tuple[object, ...]:
        """What is a part of the graphs, and is looked at before each step because it may change between them."""
        return (
            get_num_threads(),
            self.model.training,
            *(generator.seed for generator, _ in self._generators),
            *(tensor.requires_grad for tensor in self._tensors),
            *(self.optimizer.problem(group, "float32") for group in self.optimizer.param_groups),
        )

    def _present_memory(self) -> list[Array]:
        """All arrays that outlive a step."""
        return [*(tensor.data for tensor in self._tensors), *self.optimizer.kept_arrays()]

    def _step(self, batch: _Batch) -> tuple[Array, Array]:
        """The step, launch by launch; gives where logits and loss will lie."""
        axes = (0, 3, 1, 2)
        images = Tensor(batch.images.transpose(axes) if batch.images.ndim == 4 else batch.images)
        self.optimizer.zero_grad()
        with ExitStack() as contexts:
            contexts.enter_context(computing_in(self.precision, self.optimizer.parameters()))
            for generator, place in self._generators:
                contexts.enter_context(generator.counted_from(place))
            outputs = self.model(images)
            loss = self.objective(outputs, Tensor(batch.labels))
            scaled = loss * Tensor(self.control.scale.astype(loss.dtype)) if self.loss_scale else loss
            scaled.backward()
        self.control.step(loss)
        self.optimizer.zero_grad()
        return main_logits(outputs).data, loss.data
