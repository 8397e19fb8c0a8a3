"""Who takes part in `benchmarks.googlenet`: the same work, by minigrad and by PyTorch, as functions to call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import numpy as np
import torch  # before minigrad, whose choice of how threads wait shall not be PyTorch's

import minigrad as mg
from minigrad import nn, optim
from minigrad.data.digits import digits
from minigrad.data.loader import Batch, Loader
from minigrad.models import GoogLeNet, loss
from minigrad.train.captured_step import CapturedStep

OURS, ONE_BY_ONE, NCHW, CHANNELS_LAST, COMPILED = (
    "minigrad",
    "minigrad, one by one",
    "PyTorch NCHW",
    "PyTorch channels_last",
    "torch.compile channels_last",
)
LEARNING_RATE, MOMENTUM = 0.01, 0.9
Step = Callable[[], Any]


@dataclass(frozen=True)
class Job:
    """What is to be done: "training" or "inference" with `batch` images of `size` x `size`.

    With `digits` they are drawn, resized and augmented as `minigrad train` has them, in the time that is measured;
    otherwise they are random and always the same.
    """

    kind: str
    batch: int
    size: int = 224
    classes: int = 1000
    digits: bool = False

    @property
    def label(self) -> str:
        return f"{self.kind}, digits" if self.digits else f"{self.kind}, batch {self.batch}"


def images_and_labels(job: Job) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.standard_normal((job.batch, job.size, job.size, 3), dtype=np.float32).transpose(0, 3, 1, 2)
    return images, generator.integers(0, job.classes, job.batch)


def batches_of(job: Job) -> Callable[[], Batch]:
    """What gives a step its images (N, 3, H, W), lying channels-last, and labels (N,)."""
    if not job.digits:
        batch = images_and_labels(job)
        return lambda: batch
    loader = Loader(digits(job.size), training=True, batch_size=job.batch, threads=0)
    batches = chain.from_iterable(map(loader.epoch, count()))
    whole = (batch for batch in batches if len(batch[0]) == job.batch)
    return lambda: next(whole)


def our_model(classes: int = 1000) -> nn.Module:
    mg.manual_seed(0)
    return GoogLeNet(num_classes=classes)


def step_of(name: str, job: Job) -> Step:
    """One contender's way to do a job, with the same weights for all of them."""
    model = our_model(job.classes)
    if name in (OURS, ONE_BY_ONE):
        return our_steps(model, job, captured=name == OURS)
    return torch_steps(name, {key: value.numpy() for key, value in model.state_dict().items()}, job)


def our_steps(model: nn.Module, job: Job, captured: bool = True) -> Step:
    """`captured`, as the commands of minigrad do it; or operation by operation."""
    draw = batches_of(job)
    if job.kind == "inference":
        x = mg.asarray(draw()[0])
        model.eval()
        run = nn.Captured(model, frozen=True) if captured else model

        def infer() -> Any:
            with mg.no_grad():
                return run(x).numpy()

        return infer
    optimizer = optim.SGD(list(model.parameters()), lr=LEARNING_RATE, momentum=MOMENTUM)
    model.train()
    if captured:
        step = CapturedStep(model, loss, optimizer)
        return lambda: step(*draw()).loss

    def train() -> Any:
        images, labels = draw()
        optimizer.zero_grad()
        loss(model(mg.asarray(images)), mg.asarray(labels)).backward()
        optimizer.step()

    return train


def torch_steps(name: str, weights: dict[str, np.ndarray], job: Job) -> Step:
    from benchmarks.torch_googlenet import TorchGoogLeNet, torch_loss

    layout = torch.contiguous_format if name == NCHW else torch.channels_last
    model = TorchGoogLeNet(num_classes=job.classes)
    model.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in weights.items()})
    model = model.to(memory_format=layout)
    draw = batches_of(job)
    run = torch.compile(model) if name == COMPILED else model
    if job.kind == "inference":
        x = torch.from_numpy(draw()[0]).to(memory_format=layout)
        model.eval()

        def infer() -> Any:
            with torch.inference_mode():
                return run(x).numpy()

        return infer
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    model.train()

    def train() -> Any:
        images, labels = draw()
        x = torch.from_numpy(images).contiguous(memory_format=layout)
        optimizer.zero_grad()
        torch_loss(run(x), torch.from_numpy(labels)).backward()
        optimizer.step()

    return train
