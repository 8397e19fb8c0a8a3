"""The first value that is not finite: which operation made it, in which module, on which line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd import Function, hook
from ..kernels.errors import MinigradError
from ..nn import Parameter
from ..tensor import Tensor, is_floating
from .origin import Origin, OriginHook


class AnomalyError(MinigradError, ArithmeticError):
    """A value that is not finite.

    Attributes:
        operation: the name of the operation that made it.
        direction: "forward" or "backward".
        origin: module and line of the operation's forward call, or None if it was made before the search began.
        count: how many values are not finite.
    """

    def __init__(self, message: str, operation: str, direction: str, origin: Origin | None, count: int) -> None:
        super().__init__(message)
        self.operation, self.direction, self.origin, self.count = operation, direction, origin, count

    @property
    def module_path(self) -> str:
        """Path of the module, such as `inception3a.branch2.0.conv`; empty if there is none."""
        return self.origin.module_path if self.origin else ""


class _AnomalyHook(OriginHook):
    one_by_one = True  # a ReLU in the same pass would hide an infinity below zero

    def after_forward(self, function: Function, inputs: tuple[Any, ...], output: Tensor) -> None:
        if self.going_back is not None:
            return  # the gradients are examined when they are complete
        count = _count(output)
        if count:
            came_in = [i for i, x in enumerate(inputs) if _count(x)]
            names = " and ".join(_name(inputs[i], i, function.origin) for i in came_in)
            reason = (
                f"; {names} had such values when {'it' if len(came_in) == 1 else 'they'} came in"
                if came_in
                else ""
            )
            shapes = [(x.shape, x.dtype) for x in inputs if isinstance(x, Tensor)]
            self._report(function, "forward", f"output {_describe(output)}{reason}", shapes, count)

    def before_backward(self, function: Function, gradient: Tensor) -> None:
        count = _count(gradient)
        if count:
            self._report(function, "backward", f"gradient that came in {_describe(gradient)}", [], count)
        super().before_backward(function, gradient)

    def after_backward(self, function: Function, gradient: Tensor, results: Sequence[Tensor | None]) -> None:
        super().after_backward(function, gradient, results)
        for position, result in enumerate(results):
            count = _count(result)
            if count:
                subject = f"gradient of input {position} {_describe(result)}"
                self._report(function, "backward", subject, filter(None, function._specifications), count)

    def _report(
        self, function: Function, direction: str, subject: str, inputs: Iterable[tuple[Any, Any]], count: int
    ) -> None:
        place = f" {function.origin}" if function.origin else ""
        made = ", called forward" if direction == "backward" and place else ""
        shapes = ", ".join(f"{shape} {dtype}" for shape, dtype in inputs)
        raise AnomalyError(
            f"not finite, {direction}: {function.name}{made}{place}: "
            f"{subject}" + (f" (inputs: {shapes})" if shapes else ""),
            function.name,
            direction,
            function.origin,
            count,
        )


def _count(x: Any) -> int:
    """How many values are not finite."""
    if not isinstance(x, Tensor) or not is_floating(x.dtype):
        return 0
    finite = x.xp.isfinite(x.data)
    return 0 if bool(finite.all()) else x.size - int(finite.sum())


def _describe(x: Any) -> str:
    nan = int(x.xp.isnan(x.data).sum())
    return f"of shape {x.shape} has {nan} NaN and {_count(x) - nan} infinite of {x.size} values"


def _name(x: Tensor, position: int, origin: Origin | None) -> str:
    """A parameter by its name in the outermost module, another input by its position."""
    if isinstance(x, Parameter) and origin and origin.modules:
        for name, parameter in origin.modules[0].named_parameters():
            if parameter is x:
                return f"parameter {name}"
    return f"input {position}"


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Inside this `with` block, raise at the first operation whose result or gradient is not finite.

    Each result is examined, which about doubles the time of cheap operations. NumPy's own warnings
    about overflow and division are silent meanwhile, as the report says more.

    Raises:
        AnomalyError: naming the operation, the module's path, and the line of the forward call, also where the
            gradient is what went wrong.
    """
    with hook(_AnomalyHook()), np.errstate(all="ignore"):
        yield
