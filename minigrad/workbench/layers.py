"""The problems that a model really runs in training, traced from the model itself."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from minigrad import models
from minigrad.autograd import Function, Hook, edge_of, hook
from minigrad.creation import zeros
from minigrad.kernels.accumulate import AccumulateProblem
from minigrad.kernels.registry import use_kernels
from minigrad.nn import Module, module_path, running_modules
from minigrad.ops.conv import Conv2d
from minigrad.ops.parts import Part
from minigrad.ops.shape import Concat
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
        paths: the modules of the model that have it, such as "inception3a.branch2.0.conv", or several whose
            filters run as one, "inception3a.{branch1,branch2.0}.conv"; empty for a problem given by hand.
        modules: each of these modules by its own name.
    """

    operation: str
    problem: Any
    paths: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    @property
    def unfit(self) -> str | None:
        """The reason why no training can run it, or None."""
        return CONTRACTS[self.operation].unfit(self.problem)

    def contains(self, text: str) -> bool:
        """Whether the layer's line, or the name of one of its modules, does."""
        return any(text in words for words in (self.name, *self.paths, *self.modules))

    @property
    def name(self) -> str:
        """The first of its modules and how many more there are, and the problem in a few words."""
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return describe(self.operation, self.problem) + (f"  ({self.paths[0]}{more})" if self.paths else "")


class _Recorder(Hook):
    """Notes, at every forward, the problems of all operations and the module that runs."""

    def __init__(self, network: Module) -> None:
        self.paths: dict[tuple[str, Any], list[tuple[str, ...]]] = {}
        # By the edge of a weight, whose it is; kept beside it, so that no other one gets its id.
        self._owners: dict[int, tuple[Any, tuple[str, ...]]] = {
            id(edge_of(parameter)): (edge_of(parameter), (name.rpartition(".")[0],))
            for name, parameter in network.named_parameters()
        }
        self._uses: dict[int, tuple[Any, int]] = {}  # the edges of Tensors used so far, and how often

    def after_forward(self, function: Function, inputs: tuple[Any, ...], output: Tensor) -> None:
        modules = self._joined(function, inputs, output) or (module_path(running_modules()) or "loss",)
        for name, contract in CONTRACTS.items():
            for problem in contract.traced(function, inputs):
                self.paths.setdefault((name, problem), []).append(modules)
        for x in inputs:
            if isinstance(x, Tensor) and x.requires_grad and not isinstance(function, Part):
                self._use(x, modules)

    def _joined(self, function: Function, inputs: tuple[Any, ...], output: Tensor) -> tuple[str, ...]:
        """The modules whose filters a convolution has, if they are those of several."""
        edges = [edge_of(x) for x in inputs if isinstance(x, Tensor)]
        owners = [self._owners[id(edge)][1] for edge in edges if id(edge) in self._owners]
        if isinstance(function, Concat) and len(owners) == len(inputs):
            edge = edge_of(output)
            self._owners[id(edge)] = edge, tuple(name for names in owners for name in names)
        return next((names for names in owners if len(names) > 1), ()) if isinstance(function, Conv2d) else ()

    def _use(self, x: Tensor, modules: tuple[str, ...]) -> None:
        """Each use of a Tensor gives it a gradient: the second makes a sum, later ones are added to it.

        Those of its parts lie side by side, and make none.
        """
        edge = edge_of(x)
        _, uses = self._uses.get(id(edge), (edge, 0))
        self._uses[id(edge)] = edge, uses + 1
        if uses:
            operation = "accumulate_add" if uses == 1 else "accumulate_add_to"
            problem = AccumulateProblem(x.shape, x.dtype.name)
            self.paths.setdefault((operation, problem), []).append(modules)


def traced_layers(model: str, batch: int, size: int, dtype: str, unfit_too: bool = False) -> list[Layer]:
    """Every distinct problem of a training step of `model`; see `layers_of`.

    Args:
        model: a name of `minigrad.models.MODELS`.

    Raises:
        MinigradError: if there is no such model, or it takes no images of that size.
    """
    return layers_of(models.build(model, init_weights=False), batch, size, dtype, unfit_too)


def layers_of(network: Module, batch: int, size: int, dtype: str, unfit_too: bool = False) -> list[Layer]:
    """Every distinct problem of a training step of a network, in the order in which the network comes to it.

    A copy of it really runs, forward, on two images, by the fastest CPU kernels; then the batch is put right.

    Args:
        batch, size: images, and their height and width.
        dtype: of the problems.
        unfit_too: give what no training can run with that many images, too.

    Raises:
        MinigradError: if it takes no images of that size.
    """
    network = copy.deepcopy(network).train()
    recorder = _Recorder(network)
    random = default_generator.state_dict()
    try:
        with hook(recorder), use_kernels("auto"):
            outputs = network(zeros((TRACED_IMAGES, 3, size, size)))
            models.loss(outputs, zeros(TRACED_IMAGES, "int64"))
    finally:
        default_generator.load_state_dict(random)
    layers = [
        Layer(
            name,
            replace(CONTRACTS[name].at_batch(problem, batch), dtype=dtype),
            tuple(_in_one(modules) for modules in found),
            tuple(module for modules in found for module in modules),
        )
        for (name, problem), found in recorder.paths.items()
    ]
    return [layer for layer in layers if unfit_too or layer.unfit is None]


def _in_one(names: tuple[str, ...]) -> str:
    """Names of modules as one: what their beginnings and ends share is said once."""
    if len(names) == 1:
        return names[0]
    parts = [name.split(".") for name in names]
    start = _alike(parts)
    end = _alike([part[:start:-1] for part in parts])
    middle = ",".join(".".join(part[start : len(part) - end]) for part in parts)
    return ".".join((*parts[0][:start], f"{{{middle}}}", *parts[0][len(parts[0]) - end :]))


def _alike(parts: list[list[str]]) -> int:
    """With how many words all of them begin."""
    return len(list(itertools.takewhile(lambda words: len(set(words)) == 1, zip(*parts, strict=False))))


def layers_for(
    contracts: Sequence[Contract], model: str, batch: int, size: int, dtype: str, unfit_too: bool = False
) -> list[Layer]:
    """The layers of some operations, those of one operation beside each other; see `layers_of`.

    An operation that shows in no forward pass of the model (an optimiser's step), or that the model has no layer
    of (local response normalisation), has stand-ins of the sizes that it would have.
    """
    traced = traced_layers(model, batch, size, dtype, unfit_too)
    found = []
    for contract in contracts:
        name = contract.operation.name
        own = [layer for layer in traced if layer.operation == name]
        found += own or [
            Layer(name, replace(problem, dtype=dtype), (place,))
            for place, problem in contract.stand_ins(model, batch, size).items()
        ]
    return found
