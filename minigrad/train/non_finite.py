"""When a loss is not finite: which operation was the first to go wrong.

Nothing is watched while training goes well, because watching is slow. Once a step has failed, before the
weights have changed, the very same step is run again from what it started from, and now watched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigrad.inspect import AnomalyError, detect_anomaly
from minigrad.kernels.errors import MinigradError
from minigrad.nn import Module, Parameter
from minigrad.random import default_generator

# Gradients up to this many numbers are examined at each step. Most layers of a network have a small one, a bias's
# or a batch norm's, which sums up all that comes back through the layer.
MOST_EXAMINED = 1 << 16


class NonFiniteError(MinigradError, ArithmeticError):
    """A loss or a gradient that is not finite."""


class NonFiniteStep(NonFiniteError):
    """A step that was not made: what was `found`, and the operation that is the `cause`, in words."""

    def __init__(self, found: str, cause: str) -> None:
        super().__init__(f"{found}: {cause}")
        self.found, self.cause = found, cause


class StepStart:
    """What a forward pass changes, as it was before: the buffers, and the position in the random numbers.

    Args:
        random: this position, where the step has been made already. Its buffers are lost then, which a forward
            pass in training mode does not read.
    """

    def __init__(self, model: Module, random: dict[str, int] | None = None) -> None:
        self.model = model
        self.buffers = [buffer.data.copy() for buffer in model.buffers()]
        self.random = random or default_generator.state_dict()
        self.is_late = random is not None

    def restore(self) -> None:
        """Bring all of it back, and forget gradients."""
        for buffer, values in zip(self.model.buffers(), self.buffers, strict=True):
            buffer.data[...] = values
        default_generator.load_state_dict(self.random)
        self.model.zero_grad()

    def cause(self, step: Callable[[], Any]) -> str:
        """Why `step`, forward and backward, fails: run again from here, watched. It leaves all as it was."""
        self.restore()
        tensors = (*self.model.named_parameters(), *(() if self.is_late else self.model.named_buffers()))
        bad = next((name for name, tensor in tensors if not bool(tensor.xp.isfinite(tensor.data).all())), None)
        if bad is not None:
            return f"{bad} was not finite before it"
        words = locate(step)
        self.restore()
        return words


def examined(model: Module) -> list[Parameter]:
    """The parameters whose gradients are small enough to be looked at after every step."""
    return [parameter for parameter in model.parameters() if parameter.size <= MOST_EXAMINED]


def gradients_are_finite(parameters: Sequence[Parameter]) -> bool:
    """Whether all gradients of `parameters` are finite."""
    return all(bool(p.grad.xp.isfinite(p.grad.data).all()) for p in parameters if p.grad is not None)


def locate(step: Callable[[], Any]) -> str:
    """Run `step` once more, watched; the words for the first operation that makes a value that is not finite."""
    try:
        with detect_anomaly():
            step()
    except AnomalyError as error:
        return str(error)
    return "no single operation shows it when the step is run again"
