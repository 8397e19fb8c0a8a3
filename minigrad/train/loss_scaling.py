"""Loss scaling: gradients of float16 activations, kept from vanishing.

Gradients are often smaller than float16's smallest number. The loss is multiplied by a factor before the backward
pass and the gradients are divided by it afterwards, in float32. The factor is as large as it can be: a step whose
gradients overflow is left out and halves it, many good steps in a row double it (Micikevicius et al., "Mixed
precision training", arXiv 1710.03740, section 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from minigrad.kernels.errors import MinigradError
from minigrad.optim import get_total_norm
from minigrad.tensor import Tensor

FIRST = 2.0**16
SMALLEST, LARGEST = 1.0, 2.0**24
GROWS_AFTER = 2000  # steps without overflow


class LossScale:
    """The factor, and how it follows what the gradients do.

    Attributes:
        factor: what to multiply the loss by.
        steps: steps without overflow since the factor last changed.
    """

    def __init__(self, factor: float = FIRST) -> None:
        self.factor = factor
        self.steps = 0

    def scaled(self, loss: Tensor) -> Tensor:
        return loss * self.factor

    def fits(self, parameters: Iterable[Tensor]) -> bool:
        """Divide all gradients by the factor, in place; False where they overflowed, and the factor is halved.

        Where the factor is the smallest already, it cannot be the cause: what is not finite goes through.
        """
        parameters = list(parameters)
        if self.factor > SMALLEST and not math.isfinite(get_total_norm(parameters)):
            self.factor, self.steps = self.factor / 2, 0
            return False
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.data *= 1.0 / self.factor
                parameter.grad.note_change("LossScale.fits()")
        self.steps += 1
        if self.steps >= GROWS_AFTER:
            self.factor, self.steps = min(LARGEST, 2 * self.factor), 0
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"factor": self.factor, "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. Raises MinigradError if it is none."""
        factor, steps = state.get("factor"), state.get("steps")
        if not isinstance(factor, int | float) or not SMALLEST <= factor <= LARGEST or not isinstance(steps, int):
            raise MinigradError(f"this is no state of a loss scale: {dict(state)!r}")
        self.factor, self.steps = float(factor), steps
