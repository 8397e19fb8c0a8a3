"""The problems that a model really runs in training, traced from the model itself."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

from minigrad import models
from minigrad.autograd import Function, Hook, hook
from minigrad.creation import zeros
from minigrad.kernels.concat import ConcatProblem
from minigrad.kernels.registry import use_kernels
from minigrad.nn import Module, module_path, running_modules
from minigrad.ops.conv import Conv2d
from minigrad.ops.dropout import Dropout
from minigrad.ops.loss import CrossEntropy
from minigrad.ops.normalization import BatchNormTraining, LocalResponseNorm
from minigrad.ops.pool import AveragePool2d, MaxPool2d
from minigrad.ops.shape import Concat
from minigrad.random import default_generator
from minigrad.tensor import Tensor

from .contracts import describe

TRACED_IMAGES = 2  # batch normalisation wants more than one value a channel, even where an image is one pixel

# What each Function of the tape runs: forward operations, and those for its gradient.
RUNS: dict[type[Function], tuple[tuple[str, ...], tuple[str, ...]]] = {
    Conv2d: (("conv2d_forward", "conv2d_forward_relu", "conv2d_weight_gradient"), ("conv2d_input_gradient",)),
    MaxPool2d: (("max_pool2d_forward", "max_pool2d_gather"), ("max_pool2d_input_gradient",)),
    BatchNormTraining: (
        ("batch_norm_forward_training", "batch_norm_forward_evaluation"),
        ("batch_norm_backward_training",),
    ),
    LocalResponseNorm: (("local_response_norm_forward",), ("local_response_norm_input_gradient",)),
    Dropout: (("dropout",), ()),
    CrossEntropy: (("cross_entropy_forward",), ("cross_entropy_input_gradient",)),
    Concat: (("concat",), ()),
}


@dataclass(frozen=True)
class Layer:
    """A distinct problem of one operation.

    Attributes:
        operation: its name in the registry.
        problem: what the registry is asked with.
        paths: the modules of the model that have it, such as "inception3a.branch2.0.conv"; empty for a problem
            given by hand.
    """

    operation: str
    problem: Any
    paths: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The first of its modules and how many more there are, and the problem in a few words."""
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return describe(self.problem) + (f"  ({self.paths[0]}{more})" if self.paths else "")


class _Recorder(Hook):
    """Notes problem, module and whether the input's gradient is asked for, at every forward."""

    def __init__(self) -> None:
        self.paths: dict[tuple[str, Any], list[str]] = {}

    def after_forward(self, function: Function, inputs: tuple[Any, ...], output: Tensor) -> None:
        problem = getattr(function, "problem", None)
        if isinstance(function, Concat):
            problem = ConcatProblem(tuple(x.shape for x in inputs), function.axis, inputs[0].dtype.name)
        if problem is None:
            return
        runs: tuple[tuple[str, ...], tuple[str, ...]]
        if isinstance(function, AveragePool2d):
            runs = (function.operation.name,), (function.back.name,)
        else:
            runs = RUNS.get(type(function), ((), ()))
        # The first layer's input is the image, whose gradient training never asks for.
        wanted = (*runs[0], *runs[1]) if inputs[0].requires_grad else runs[0]
        path = module_path(running_modules()) or "loss"
        for operation in wanted:
            self.paths.setdefault((operation, problem), []).append(path)


def traced_layers(model: str, batch: int, size: int, dtype: str) -> list[Layer]:
    """Every distinct problem of a training step of `model`; see `layers_of`.

    Args:
        model: a name of `minigrad.models.MODELS`.

    Raises:
        MinigradError: if there is no such model, or it takes no images of that size.
    """
    return layers_of(models.build(model, init_weights=False), batch, size, dtype)


def layers_of(network: Module, batch: int, size: int, dtype: str) -> list[Layer]:
    """Every distinct problem of a training step of a network, in the order in which the network comes to it.

    A copy of it really runs, forward, on two images, by the fastest CPU kernels; then the batch is put right.

    Args:
        batch, size: images, and their height and width.
        dtype: of the problems.

    Raises:
        MinigradError: if it takes no images of that size.
    """
    network = copy.deepcopy(network).train()
    recorder = _Recorder()
    random = default_generator.state_dict()
    try:
        with hook(recorder), use_kernels("auto"):
            outputs = network(zeros((TRACED_IMAGES, 3, size, size)))
            models.loss(outputs, zeros(TRACED_IMAGES, "int64"))
    finally:
        default_generator.load_state_dict(random)
    return [
        Layer(operation, at_batch(problem, batch, dtype), tuple(paths))
        for (operation, problem), paths in recorder.paths.items()
    ]


def at_batch(problem: Any, batch: int, dtype: str) -> Any:
    """The same problem for a batch of so many images."""
    if hasattr(problem, "batch"):
        return replace(problem, batch=batch, dtype=dtype)
    if hasattr(problem, "rows"):
        return replace(problem, rows=batch, dtype=dtype)
    if hasattr(problem, "shapes"):
        return replace(problem, shapes=tuple((batch, *shape[1:]) for shape in problem.shapes), dtype=dtype)
    return replace(problem, shape=(batch, *problem.shape[1:]), dtype=dtype)
