"""Learning rates that change: a schedule is a function from the step to a factor, a Scheduler applies it.

    scheduler = Scheduler(SGD(model.parameters(), lr=0.1), LinearWarmUp(5, then=CosineAnnealing(95)))
    for epoch in range(100):
        ...
        scheduler.step()

A step is whatever the training loop counts, epochs or batches. Steps start from 0. The factor multiplies
the learning rate that each group was made with. Past its end a schedule keeps its last value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..kernels.errors import MinigradError
from .optimizer import Optimizer

Schedule = Callable[[int], float]


def _at_least(schedule: object, least: float, **values: float) -> None:
    for name, value in values.items():
        if not value >= least:
            raise MinigradError(f"{type(schedule).__name__}: {name} must be at least {least:g}, got {value!r}")


@dataclass(frozen=True)
class Constant:
    """Always the same factor."""

    factor: float = 1.0

    def __call__(self, step: int) -> float:
        return self.factor


@dataclass(frozen=True)
class StepDecay:
    """gamma ** floor(step / step_size); GoogLeNet's paper: `StepDecay(step_size=8, gamma=0.96)`, in epochs.

    Raises:
        MinigradError: if `step_size` is not positive.
    """

    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        _at_least(self, 1, step_size=self.step_size)

    def __call__(self, step: int) -> float:
        return float(self.gamma ** (step // self.step_size))


@dataclass(frozen=True)
class PolynomialDecay:
    """(1 - step / total_steps) ** power, down to 0; Caffe's "poly" policy with power 0.5.

    Raises:
        MinigradError: if `total_steps` is not positive.
    """

    total_steps: int
    power: float = 1.0

    def __post_init__(self) -> None:
        _at_least(self, 1, total_steps=self.total_steps)

    def __call__(self, step: int) -> float:
        return float((1 - min(step, self.total_steps) / self.total_steps) ** self.power)


@dataclass(frozen=True)
class CosineAnnealing:
    """From 1 to `final` along half a cosine (Loshchilov and Hutter, arXiv 1608.03983, equation 5).

    Raises:
        MinigradError: if `total_steps` is not positive.
    """

    total_steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        _at_least(self, 1, total_steps=self.total_steps)

    def __call__(self, step: int) -> float:
        return _cosine(1.0, self.final, min(step, self.total_steps) / self.total_steps)


@dataclass(frozen=True)
class OneCycle:
    """Up to the full learning rate and down to almost nothing (Smith and Topin, arXiv 1708.07120).

    From 1 / div_factor to 1, and then to 1 / (div_factor * final_div_factor) at the last of `total_steps`
    steps; as `torch.optim.lr_scheduler.OneCycleLR` without the cycle of momentum, and with the
    optimiser's learning rate as `max_lr`.

    Args:
        total_steps: how many steps there are in all.
        pct_start: the share of the steps in which the learning rate grows.
        anneal_strategy: "cos" or "linear".
        div_factor: the peak divided by the first value.
        final_div_factor: the first value divided by the last one.
        three_phase: go down to the first value as slowly as up, and only then to the last one.

    Raises:
        MinigradError: if an argument is out of range.
    """

    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        _at_least(self, 1, total_steps=self.total_steps)
        if not 0 <= self.pct_start <= 1:
            raise MinigradError(f"OneCycle: pct_start must be from 0 to 1, got {self.pct_start!r}")
        if self.anneal_strategy not in ("cos", "linear"):
            raise MinigradError(
                f"OneCycle: anneal_strategy must be 'cos' or 'linear', got {self.anneal_strategy!r}"
            )

    def __call__(self, step: int) -> float:
        first = 1 / self.div_factor
        rise, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        points = [(0.0, first), (rise, 1.0), (last, first / self.final_div_factor)]
        if self.three_phase:
            points.insert(2, (2 * rise, first))
        between = _cosine if self.anneal_strategy == "cos" else _linear
        step = min(step, last)
        for (start, value), (end, next_value) in pairwise(points):
            if step <= end:
                return between(value, next_value, (step - start) / (end - start) if end > start else 1.0)
        return points[-1][1]


@dataclass(frozen=True)
class LinearWarmUp:
    """From `start` to 1 along a line in `steps` steps, then what `then` gives, counted from there.

    Goyal et al., arXiv 1706.02677, section 2.2.

    Raises:
        MinigradError: if `steps` is not positive.
    """

    steps: int
    start: float = 1 / 3
    then: Schedule = Constant()

    def __post_init__(self) -> None:
        _at_least(self, 1, steps=self.steps)

    def __call__(self, step: int) -> float:
        if step < self.steps:
            return _linear(self.start, 1.0, step / self.steps)
        return self.then(step - self.steps)


def _linear(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


class Scheduler:
    """Sets the learning rate of each group to what it was made with, times `schedule(step)`.

    Attributes:
        steps: how many steps have been taken; the learning rates are those for this step from the beginning.
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule) -> None:
        self.optimizer, self.schedule = optimizer, schedule
        self.base_rates = [float(group["lr"]) for group in optimizer.param_groups]
        self._set(0)

    def _set(self, steps: int) -> None:
        self.steps = steps
        factor = self.schedule(steps)
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor

    def step(self) -> None:
        """Go on to the next step's learning rates."""
        self._set(self.steps + 1)

    @property
    def learning_rates(self) -> list[float]:
        """The learning rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The step and the learning rates that the groups were made with."""
        return {"steps": self.steps, "base_rates": list(self.base_rates)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved step, and set the learning rates that belong to it.

        Raises:
            MinigradError: if the number of groups differs.
        """
        if len(state["base_rates"]) != len(self.optimizer.param_groups):
            raise MinigradError(
                f"the saved schedule has {len(state['base_rates'])} groups, "
                f"the optimiser {len(self.optimizer.param_groups)}"
            )
        self.base_rates = [float(rate) for rate in state["base_rates"]]
        self._set(int(state["steps"]))
