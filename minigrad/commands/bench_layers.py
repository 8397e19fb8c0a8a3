"""Which problems `minigrad bench` measures, and why there are none of those that were asked for."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from minigrad.kernels.errors import MinigradError
from minigrad.train.config import ConfigError

if TYPE_CHECKING:
    from minigrad.workbench.contracts import Contract
    from minigrad.workbench.layers import Layer

# Images, and their height and width: enough to be worth timing, and little enough for the emulator.
DEFAULT_BATCH = {"cpu": 8, "cuda": 64, "emulated": 2}
DEFAULT_SIZE = {"cpu": 224, "cuda": 224, "emulated": 32}
NEAREST = 8  # names that are told where one is not found


def contracts_asked_for(targets: Sequence[str]) -> list[Contract]:
    """The contracts of the operations that a command line names, each once.

    Raises:
        KernelError: if there is no such operation.
    """
    from minigrad.workbench.contracts import contracts_named

    named = {c.operation.name: c for target in targets for c in contracts_named(target)}
    return list(named.values())


def layers_asked_for(arguments: argparse.Namespace, contracts: Sequence[Contract]) -> list[Layer]:
    """The layers to measure, those of one operation beside each other.

    Raises:
        MinigradError: if there are none; says what was asked for, and why nothing is left.
    """
    return _by_hand(arguments, contracts) if arguments.problem else _of_model(arguments, contracts)


def _by_hand(arguments: argparse.Namespace, contracts: Sequence[Contract]) -> list[Layer]:
    from minigrad.workbench.by_hand import parse_problem
    from minigrad.workbench.layers import Layer

    problems = [parse_problem(text) for text in arguments.problem]
    found = [Layer(c.operation.name, p) for c in contracts for p in problems if isinstance(p, c.problem)]
    if not found:
        raise ConfigError(f"--problem: {' and '.join(arguments.targets)} takes no {type(problems[0]).__name__}")
    for layer in found:
        if layer.unfit is not None:
            raise ConfigError(f"--problem: {layer.operation}: {layer.unfit}")
    if any(problem.dtype != arguments.dtype for problem in problems):
        raise ConfigError(f"--problem: its dtype must be that of --dtype, {arguments.dtype}")
    return found


def _of_model(arguments: argparse.Namespace, contracts: Sequence[Contract]) -> list[Layer]:
    from minigrad.workbench.layers import layers_for

    from .model import require_model

    model, texts = arguments.model, arguments.layers
    batch = arguments.batch or DEFAULT_BATCH[arguments.device]
    size = arguments.size or DEFAULT_SIZE[arguments.device]
    require_model(model, size)
    runs = layers_for(contracts, model, batch, size, arguments.dtype, unfit_too=True)
    names = ", ".join(contract.operation.name for contract in contracts)
    if not runs:
        raise MinigradError(f"{model} does not run {names}; give a shape by --problem")
    asked = [layer for layer in runs if not texts or any(layer.contains(text) for text in texts)]
    if not asked:
        modules = {module for layer in runs for module in layer.modules or layer.paths}
        nearest = difflib.get_close_matches(texts[0], sorted(modules), NEAREST, cutoff=0)
        more = f" and {len(modules) - len(nearest)} more" if len(modules) > len(nearest) else ""
        wanted = " or ".join(map(repr, texts))
        raise MinigradError(
            f"--layers: no layer of {model} that runs {names} has {wanted} in its line; the nearest are: "
            f"{', '.join(nearest)}{more}"
        )
    found = [layer for layer in asked if layer.unfit is None]
    if not found:
        raise MinigradError(
            f"--layers: with --batch {batch} and --size {size} nothing is left: {asked[0].operation} on "
            f"{asked[0].problem}: {asked[0].unfit}"
        )
    return found
