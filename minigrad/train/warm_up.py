"""A step that needs every kernel of a run, before the run: to list them, or to compile them and say so.

It is taken on a copy of the model, with noise for images. Nothing of the run is touched: not the weights, not the
statistics, not the random numbers.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba.core import event

from minigrad.autograd import no_grad
from minigrad.creation import asarray
from minigrad.nn import Module
from minigrad.optim import clip_grad_norm_
from minigrad.random import default_generator
from minigrad.tensor import Tensor

from .config import TrainConfig
from .precision import computing_in
from .recipe import make_optimizer

Objective = Callable[[Any, Tensor], Tensor]


class CompileListener(event.Listener):
    """Reports each kernel as its compilation starts; those that come from the disk are not compiled.

    Args:
        report: called with the number of kernels compiled before this one, and its name.
    """

    def __init__(self, report: Callable[[int, str], None]) -> None:
        self.report = report
        self.count = 0
        self.depth = 0
        self.seconds = 0.0
        self._since = 0.0

    def on_start(self, event: Any) -> None:
        if self.depth == 0:
            self._since = time.perf_counter()
        self.depth += 1
        self.report(self.count, event.data["dispatcher"].py_func.__name__)

    def on_end(self, event: Any) -> None:
        self.depth -= 1
        self.count += 1
        if self.depth == 0:
            self.seconds += time.perf_counter() - self._since


@contextmanager
def compilations(report: Callable[[int, str], None]) -> Iterator[CompileListener]:
    """Inside this `with` block, `report` hears of every kernel that is compiled; see `CompileListener`."""
    listener = CompileListener(report)
    with event.install_listener("numba:compile", listener):
        yield listener


def warm_up(
    config: TrainConfig,
    model: Module,
    objective: Objective,
    image_shape: tuple[int, int, int, int],
    classes: int,
    device: str = "cpu",
) -> None:
    """Take one step of training and one of evaluation with a copy of `model`, to compile all that they call.

    Args:
        image_shape: of a batch, (N, C, H, W).
        objective: the loss of the model's outputs and labels.
    """
    random = default_generator.state_dict()
    try:
        _step(config, copy.deepcopy(model).to(device), objective, image_shape, classes, device)
    finally:
        default_generator.load_state_dict(random)


def _step(
    config: TrainConfig,
    model: Module,
    objective: Objective,
    image_shape: tuple[int, int, int, int],
    classes: int,
    device: str,
) -> None:
    n, c, h, w = image_shape
    noise = np.random.Generator(np.random.PCG64(0)).standard_normal((n, h, w, c), np.float32)
    images = asarray(noise.transpose(0, 3, 1, 2), device=device)
    labels = asarray(np.arange(n, dtype=np.int64) % classes, device=device)
    optimizer = make_optimizer(config, model.parameters())
    with np.errstate(all="ignore"), computing_in(config.precision):
        model.train()
        objective(model(images), labels).backward()
        if config.clip_norm is not None:
            clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        model.eval()
        with no_grad():
            model(images)
