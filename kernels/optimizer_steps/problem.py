"""What stays the same from step to step of an optimiser, as one hashable value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import MinigradError


@dataclass(frozen=True)
class SgdProblem:
    """Stochastic gradient descent.

    Raises:
        MinigradError: if Nesterov's momentum is asked for without momentum or with dampening.
    """

    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    maximize: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.nesterov and (self.momentum <= 0 or self.dampening != 0):
            raise MinigradError(
                "SGD: nesterov needs a positive momentum and no dampening, "
                f"got momentum={self.momentum}, dampening={self.dampening}"
            )


@dataclass(frozen=True)
class AdamProblem:
    """Adam, and AdamW where `decoupled`.

    Raises:
        MinigradError: if a decay rate of the moments is not in 0 <= beta < 1.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False
    maximize: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise MinigradError(f"Adam: betas must be at least 0 and less than 1, got {self.betas}")


@dataclass(frozen=True)
class RmspropProblem:
    """RMSprop, with momentum and centred where asked for."""

    alpha: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    weight_decay: float = 0.0
    maximize: bool = False
    dtype: str = "float32"


@dataclass(frozen=True)
class ControlProblem:
    """What decides about a step.

    `max_norm` is the largest norm of the gradients; `grows_after` the number of good steps after which the
    loss scale is doubled, 0 where it never changes; `smallest` and `largest` are its bounds; `share` is that of
    the newest weights in their average, None for the plain mean.
    """

    max_norm: float = math.inf
    grows_after: int = 0
    smallest: float = 1.0
    largest: float = 2.0**24
    share: float | None = None


@dataclass(frozen=True)
class AverageProblem:
    """Averages of arrays over time."""

    dtype: str = "float32"


@dataclass(frozen=True)
class SquaredNormProblem:
    """The squared norm of all gradients together."""

    dtype: str = "float32"
