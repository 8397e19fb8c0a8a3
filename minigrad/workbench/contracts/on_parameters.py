"""The problems of the optimisers' steps: those of the registry, and on which parameters; odd ones, too."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

from hypothesis.strategies import (
    DrawFn,
    SearchStrategy,
    booleans,
    builds,
    composite,
    just,
    lists,
    sampled_from,
    tuples,
)

from minigrad import models
from minigrad.kernels.errors import ShapeError
from minigrad.kernels.optimizer_steps import (
    AdamProblem,
    AverageProblem,
    ControlProblem,
    RmspropProblem,
    SgdProblem,
    SquaredNormProblem,
)

from .contract import Shape
from .sizes import either, long, number


@functools.cache
def parameter_shapes(model: str) -> tuple[Shape, ...]:
    """The shapes of all parameters of a model, in its order."""
    return tuple(tuple(p.shape) for p in models.build(model, init_weights=False).parameters())


@dataclass(frozen=True)
class OnParameters:
    """On which parameters a step works: those of a model by its name, or of the shapes given."""

    parameters: str | tuple[Shape, ...] = "googlenet"

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of each parameter.

        Raises:
            ShapeError: if there is none; a MinigradError if there is no such model.
        """
        if not self.parameters:
            raise ShapeError("an optimiser's step needs at least one parameter")
        return parameter_shapes(self.parameters) if isinstance(self.parameters, str) else self.parameters

    @property
    def elements(self) -> int:
        """Of all parameters together."""
        return sum(math.prod(shape) for shape in self.shapes)


@dataclass(frozen=True)
class SgdStep(OnParameters, SgdProblem):
    """A step of SGD."""


@dataclass(frozen=True)
class AdamStep(OnParameters, AdamProblem):
    """A step of Adam or AdamW."""


@dataclass(frozen=True)
class RmspropStep(OnParameters, RmspropProblem):
    """A step of RMSprop."""


@dataclass(frozen=True)
class StepControl(OnParameters, ControlProblem):
    """Whether a step is taken, and how far."""

    dtype: str = "float32"  # of the gradients, which are not read any more


@dataclass(frozen=True)
class AverageOfWeights(OnParameters, AverageProblem):
    """An update of the averages of all parameters."""


@dataclass(frozen=True)
class GradientNorm(OnParameters, SquaredNormProblem):
    """The squared norm of all gradients."""


def describe(problem: OnParameters) -> str:
    whose = f" of {problem.parameters}" if isinstance(problem.parameters, str) else ""
    return f"{len(problem.shapes)} parameters{whose}, {problem.elements:,} numbers"


# One to five parameters, of no to four axes; the last one mostly so long that kernels work on it in parts.
_SHAPES: SearchStrategy[tuple[Shape, ...]] = tuples(
    lists(lists(number(1, 9), max_size=4).map(tuple), max_size=4), long(40)
).map(lambda drawn: (*drawn[0], (drawn[1],)))


def on_odd_shapes(kind: type[OnParameters], **constants: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Problems of a kind on odd parameters."""
    return builds(kind, parameters=_SHAPES, **constants)


@composite
def odd_sgd(draw: DrawFn) -> SgdStep:
    momentum, dampening = draw(either(0.9)), draw(either(0.3))
    nesterov = bool(momentum) and not dampening and draw(booleans())
    return SgdStep(momentum, dampening, nesterov, draw(either(0.1)), draw(booleans()), parameters=draw(_SHAPES))


def odd_adam() -> SearchStrategy[AdamStep]:
    return on_odd_shapes(
        AdamStep, betas=just((0.9, 0.99)), epsilon=just(1e-8), weight_decay=either(0.1), decoupled=booleans(),
        maximize=booleans(),
    )  # fmt: skip


def odd_rmsprop() -> SearchStrategy[RmspropStep]:
    return on_odd_shapes(
        RmspropStep, alpha=just(0.9), epsilon=just(1e-8), momentum=either(0.9), centered=booleans(),
        weight_decay=either(0.1), maximize=booleans(),
    )  # fmt: skip


def odd_control() -> SearchStrategy[StepControl]:
    return on_odd_shapes(
        StepControl,
        max_norm=sampled_from([math.inf, 1.0]),
        grows_after=number(0, 3),
    )
