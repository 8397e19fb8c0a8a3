"""What all optimisers share: groups of parameters with options of their own, state, saving, checks.

An optimiser states which arrays it keeps for each parameter, and its step on lists of arrays.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..kernels.arrays import Array, on_host
from ..kernels.errors import DTypeError, MinigradError, ShapeError
from ..tensor import Tensor, is_floating

if TYPE_CHECKING:
    from .step_control import StepControl

Group = dict[str, Any]
Arrays = Sequence[Array]


class OptimizerStateError(MinigradError, ValueError):
    """A saved state that does not belong to the optimiser it was to be loaded into."""


class Optimizer:
    """Base of the optimisers; a subclass states `problem`, `kept` and `update`.

    Args:
        params: the Tensors to optimise, or groups: dictionaries with the Tensors as "params" and options that
            differ from `defaults`, as in PyTorch.
        defaults: the options of a group that states none of its own.

    Attributes:
        param_groups: the groups, each a dictionary with "params" and every option; options may be
            changed between steps.

    Raises:
        MinigradError: if there is no parameter, one appears twice, is not a leaf of real numbers, or an option is
            unknown or out of range.
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[Group], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self._state: dict[int, dict[str, Any]] = {}  # by the parameter's number; empty before its first step
        given = [params] if isinstance(params, Tensor) else list(params)
        if not given:
            raise MinigradError(f"{self.name}: there are no parameters to optimise")
        for group in given if isinstance(given[0], Mapping) else [{"params": given}]:
            self.add_param_group(group)  # type: ignore[arg-type]

    # What a subclass states

    def problem(self, group: Group, dtype: str) -> Any:
        """What stays the same from step to step, for the kernel; its checks are the checks of the options."""
        raise NotImplementedError

    def kept(self, group: Group) -> tuple[str, ...]:
        """The names of the arrays that are kept for each parameter; they start as zeros."""
        raise NotImplementedError

    def update(
        self,
        group: Group,
        problem: Any,
        parameters: Arrays,
        gradients: Arrays,
        kept: list[Arrays],
        learning_rate: float | Array,
        steps: Sequence[int | Array],
        factor: Array | None,
    ) -> None:
        """One step, in place. `kept` holds a list of arrays for each name of `self.kept`.

        `learning_rate`, `steps` and `factor` are what `kernels.optimizer_steps` takes.
        """
        raise NotImplementedError

    # What they share

    @property
    def name(self) -> str:
        return type(self).__name__

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Optimise more parameters, given as one dictionary with "params" and options; see the class."""
        unknown = sorted(group.keys() - self.defaults.keys() - {"params"})
        if unknown or "params" not in group:
            raise MinigradError(
                f"{self.name}: a group is a dictionary with 'params' and any of {', '.join(self.defaults)}; "
                + (f"got {', '.join(map(repr, unknown))}" if unknown else "this one has no 'params'")
            )
        given = group["params"]
        parameters = [given] if isinstance(given, Tensor) else list(given)
        known = {id(parameter) for parameter in self.parameters()}
        for position, parameter in enumerate(parameters):
            at = f"{self.name}: parameter {position} of group {len(self.param_groups)}"
            if not isinstance(parameter, Tensor):
                raise MinigradError(f"{at} is a {type(parameter).__name__}, not a Tensor")
            if not parameter.is_leaf or not is_floating(parameter.dtype):
                raise MinigradError(
                    f"{at}, of shape {parameter.shape} and dtype {parameter.dtype}, cannot be optimised: "
                    "a parameter is a leaf of real numbers"
                )
            if id(parameter) in known:
                raise MinigradError(f"{at}, of shape {parameter.shape}, is there a second time")
            known.add(id(parameter))
        complete = {**self.defaults, **group, "params": parameters}
        for option in ("lr", "weight_decay", "eps", "momentum", "alpha"):
            if not complete.get(option, 0.0) >= 0.0:
                raise MinigradError(f"{self.name}: {option} must not be negative, got {complete[option]!r}")
        self.problem(complete, "float32")
        self.param_groups.append(complete)

    def parameters(self) -> list[Tensor]:
        """All parameters, in the order of the groups; a parameter's number is its place in this list."""
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def step(self, control: StepControl | None = None) -> None:
        """Change every parameter that has a gradient by it.

        In place: a graph that still needs the old values raises a GraphError if it is gone back over afterwards.
        With a `control`, learning rates and counts of steps are read where it has them on the device.

        Raises:
            ShapeError: if a gradient has not the shape of its parameter; nothing has been changed then.
            DTypeError: if it has not its dtype; nothing has been changed then.
        """
        numbers = {id(parameter): number for number, parameter in enumerate(self.parameters())}
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if parameter.grad.shape != parameter.shape:
                raise ShapeError(
                    f"{self.name}: parameter {numbers[id(parameter)]} has shape {parameter.shape}, "
                    f"its gradient {parameter.grad.shape}"
                )
            if parameter.grad.dtype != parameter.dtype:
                raise DTypeError(
                    f"{self.name}: parameter {numbers[id(parameter)]} of shape {parameter.shape} has dtype "
                    f"{parameter.dtype}, its gradient {parameter.grad.dtype}"
                )
        for place, group in enumerate(self.param_groups):
            moving = [parameter for parameter in group["params"] if parameter.grad is not None]
            for kind in dict.fromkeys((parameter.device, parameter.dtype) for parameter in moving):
                alike = [parameter for parameter in moving if (parameter.device, parameter.dtype) == kind]
                own = [numbers[id(parameter)] for parameter in alike]
                states = [self._with_arrays(*pair, group) for pair in zip(own, alike, strict=True)]
                self.update(
                    group,
                    self.problem(group, kind[1].name),
                    [parameter.data for parameter in alike],
                    [parameter.grad.data for parameter in alike],
                    [[state[name] for state in states] for name in self.kept(group)],
                    *(self._counted(states, group) if control is None else control.numbers(place, own)),
                )
                for parameter in alike:
                    parameter.note_change(f"{self.name}.step() (its parameter {numbers[id(parameter)]})")

    def _counted(self, states: list[dict[str, Any]], group: Group) -> tuple[float, list[int], None]:
        """The learning rate and the counts of the parameters' steps, with this step counted; no factor."""
        for state in states:
            state["step"] += 1
        return group["lr"], [state["step"] for state in states], None

    def make_state(self) -> None:
        """Make now what the first step would make: the arrays that are kept for each parameter."""
        numbers = itertools.count()
        for group in self.param_groups:
            for parameter in group["params"]:
                self._with_arrays(next(numbers), parameter, group)

    def kept_arrays(self) -> list[Array]:
        """The arrays that are kept, of all parameters that have some."""
        return [value for state in self._state.values() for name, value in state.items() if name != "step"]

    def steps_taken(self) -> list[int]:
        """How many steps each parameter has made, by its number."""
        return [self._state.get(number, {"step": 0})["step"] for number in range(len(self.parameters()))]

    def set_steps_taken(self, steps: Sequence[int]) -> None:
        """Count on from `steps`, one count a parameter."""
        for number, count in enumerate(steps):
            if count:
                self._state.setdefault(number, {})["step"] = count

    def _with_arrays(self, number: int, parameter: Tensor, group: Group) -> dict[str, Any]:
        """The state of one parameter."""
        state = self._state.setdefault(number, {"step": 0})
        for name in self.kept(group):
            if name not in state:
                state[name] = parameter.xp.zeros_like(parameter.data)
        return state

    def state_dict(self) -> dict[str, Any]:
        """Everything that a later run needs to go on as if it had never stopped.

        Returns:
            {"state": {number as text: {"step": int, name: array, ...}}, "param_groups": [{option: value, ...,
            "params": [number, ...]}]}; the arrays share the optimiser's memory.
        """
        numbers = {id(parameter): number for number, parameter in enumerate(self.parameters())}
        groups = [{**group, "params": [numbers[id(p)] for p in group["params"]]} for group in self.param_groups]
        return {
            "state": {str(number): dict(state) for number, state in self._state.items()},
            "param_groups": groups,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state; the arrays are copied.

        Raises:
            OptimizerStateError: if groups or shapes differ; nothing has been changed then.
        """
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in state["param_groups"]]
        if sizes != saved_sizes:
            raise OptimizerStateError(
                f"{self.name}: the saved state has groups of {saved_sizes} parameters, this optimiser of {sizes}"
            )
        parameters = self.parameters()
        loaded: dict[int, dict[str, Any]] = {}
        for key, entries in state["state"].items():
            number = int(key)
            if number >= len(parameters):
                raise OptimizerStateError(f"{self.name}: the saved state speaks of a parameter {number}")
            loaded[number] = {
                name: int(value) if name == "step" else self._copied(name, value, number, parameters[number])
                for name, value in entries.items()
            }
        for group, saved in zip(self.param_groups, state["param_groups"], strict=True):
            group.update({option: value for option, value in saved.items() if option != "params"})
        self._state = loaded

    def _copied(self, name: str, value: Any, number: int, parameter: Tensor) -> Array:
        array = on_host(value)
        if array.shape != parameter.shape:
            raise OptimizerStateError(
                f"{self.name}: the saved {name} of parameter {number} has shape {array.shape}, "
                f"the parameter {parameter.shape}"
            )
        copy = parameter.xp.empty_like(parameter.data)
        copy[...] = parameter.xp.asarray(array)
        return copy

    def __repr__(self) -> str:
        groups = []
        for group in self.param_groups:
            options = ", ".join(f"{name}={value}" for name, value in group.items() if name != "params")
            groups.append(f"  ({len(group['params'])} parameters: {options})")
        return "\n".join([f"{self.name}(", *groups, ")"])
