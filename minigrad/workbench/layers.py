"""The problems that a model really runs in training, traced from the model itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from minigrad import models
from minigrad.autograd import Function, Hook, edge_of, hook
from minigrad.creation import zeros
from minigrad.kernels.accumulate import AccumulateProblem
from minigrad.kernels.registry import use_kernels
from minigrad.nn import Module, module_path, running_modules
from minigrad.ops.parts import Part
from minigrad.random import default_generator
from minigrad.tensor import Tensor

from .contracts import CONTRACTS, Contract, describe
from .contracts.contract import TRACED_IMAGES


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
        return describe(self.operation, self.problem) + (f"  ({self.paths[0]}{more})" if self.paths else "")


class _Recorder(Hook):
    """Notes, at every forward, the problems of all operations and the module that runs."""

    def __init__(self) -> None:
        self.paths: dict[tuple[str, Any], list[str]] = {}
        self._uses: dict[int, tuple[Any, int]] = {}  # the edges of Tensors used so far, and how often

    def after_forward(self, function: Function, inputs: tuple[Any, ...], output: Tensor) -> None:
        path = module_path(running_modules()) or "loss"
        for name, contract in CONTRACTS.items():
            for problem in contract.traced(function, inputs):
                self.paths.setdefault((name, problem), []).append(path)
        for x in inputs:
            if isinstance(x, Tensor) and x.requires_grad and not isinstance(function, Part):
                self._use(x, path)

    def _use(self, x: Tensor, path: str) -> None:
        """Each use of a Tensor gives it a gradient: the second makes a sum, later ones are added to it.

        Those of its parts lie side by side, and make none.
        """
        edge = edge_of(x)
        _, uses = self._uses.get(id(edge), (edge, 0))
        self._uses[id(edge)] = edge, uses + 1
        if uses:
            operation = "accumulate_add" if uses == 1 else "accumulate_add_to"
            problem = AccumulateProblem(x.shape, x.dtype.name)
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

    A copy of it really runs, forward, on two images, by the fastest CPU kernels; then the batch is put right, and
    what no training can run with that many images is left out.

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
    layers = [
        Layer(name, replace(CONTRACTS[name].at_batch(problem, batch), dtype=dtype), tuple(paths))
        for (name, problem), paths in recorder.paths.items()
    ]
    return [layer for layer in layers if CONTRACTS[layer.operation].unfit(layer.problem) is None]


def layers_for(contracts: Sequence[Contract], model: str, batch: int, size: int, dtype: str) -> list[Layer]:
    """The layers of some operations, those of one operation beside each other; see `traced_layers`.

    An operation that shows in no forward pass of the model (an optimiser's step), or that the model has no layer
    of (local response normalisation), has stand-ins of the sizes that it would have.
    """
    traced = traced_layers(model, batch, size, dtype)
    found = []
    for contract in contracts:
        name = contract.operation.name
        own = [layer for layer in traced if layer.operation == name]
        found += own or [
            Layer(name, replace(problem, dtype=dtype), (place,))
            for place, problem in contract.stand_ins(model, batch, size).items()
        ]
    return found
