"""A model in evaluation as a plan: its kernels are launched without asking the model which.

    fast = nn.Captured(model.eval())
    y = fast(x)                      # the bits of model(x)

The first call on a shape of input asks the model, which compiles and folds what there is to. The second one
records what the model asks for (`kernels.cpu.recording`); from then on the same is done on the same memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..autocast import present_dtype
from ..autograd import active_hooks, no_grad
from ..kernels.arrays import is_channels_last
from ..kernels.cpu.buffers import PrivatePool, allocating_from, empty, empty_channels_last
from ..kernels.cpu.jit import get_num_threads
from ..kernels.cpu.plan import Plan
from ..kernels.cpu.recording import Recording, recording
from ..kernels.cpu.watch import Watch
from ..kernels.errors import MinigradError
from ..tensor import Tensor
from .functional.arguments import four
from .module import Module, has_hooks, noting_calls

MOST_SHAPES = 4  # and other kinds of input that plans are kept for; each has memory of its own


def is_of_known_parts(model: Module) -> bool:
    """Whether every module of `model` is one of minigrad's own, and nobody looks at what is between them.

    A module of somebody else may compute with raw arrays, which a recording does not see.
    """
    own = __name__.partition(".")[0]
    modules = model.modules()
    return all(type(module).__module__.partition(".")[0] == own and not has_hooks(module) for module in modules)


class _Evaluation(NamedTuple):
    """A plan, where its input belongs, what the model gave, and the numbers of the model at that time."""

    plan: Plan
    input: np.ndarray
    outputs: Any
    state: list[tuple[Tensor, np.ndarray]]
    watch: Watch | None

    def holds(self) -> bool:
        """Whether the model would give the same."""
        if self.watch is None:
            return True
        return all(tensor.data is array for tensor, array in self.state) and not self.watch.sees_change()


class Captured:
    """`model` for evaluation, off the tape: the same bits, and on a CPU next to no Python between the kernels.

    New values of parameters and buffers count from the next call on. A model that is changed in another way (its
    layers, their hooks, the choice of kernels) needs a new `Captured`. On other devices, and where something in
    the model cannot be recorded (see `trouble`), each call asks the model. What a module computes with raw arrays
    (`x.data`) is not seen, and not done again. Where a model that is being recorded calls this one, it becomes a
    part of that recording. Several threads may call at once: a plan serves one at a time, and the others ask the
    model.

    Args:
        model: maps a Tensor to a Tensor, or to a tuple of Tensors.
        frozen: you promise that no parameter and no buffer changes while this object is in use. Otherwise each
            call reads all of them to see whether one has, which takes GoogLeNet a tenth of the time of one image.

    Attributes:
        trouble: why the model is asked each time, or "".
    """

    def __init__(self, model: Module, *, frozen: bool = False) -> None:
        self.model = model
        self.frozen = frozen
        self.trouble = ""
        self._evaluations: dict[Any, _Evaluation | None] = {}  # by input, the one that was used last at the end

    def __call__(self, x: Tensor) -> Any:
        """What `model(x)` gives, in memory that stays the caller's.

        Raises:
            MinigradError: if the model is in training mode. Whatever the model raises.
        """
        if self.model.training:
            raise MinigradError("a captured model is one in evaluation mode: call eval() on it first")
        with no_grad():
            if self.trouble or x.device != "cpu" or active_hooks or recording() is not None:
                return self.model(x)
            key = x.shape, x.dtype.name, _lies_in_rows(x), present_dtype(), get_num_threads()
            asked_before = key in self._evaluations
            evaluation = self._evaluations.pop(key, None)
            if evaluation is None or not evaluation.holds():
                if evaluation is not None or not asked_before:
                    self._keep(key, None)
                    return self.model(x)
                evaluation = self._record(x)
            else:
                np.copyto(evaluation.input, x.data)
                evaluation.plan.launch()
            outputs = _copied(evaluation.outputs) if evaluation else self.model(x)
            self._keep(key, evaluation)  # not before: another thread may launch it at once
            return outputs

    def _keep(self, key: Any, evaluation: _Evaluation | None) -> None:
        self._evaluations[key] = evaluation
        for oldest in list(self._evaluations)[:-MOST_SHAPES]:
            self._evaluations.pop(oldest, None)  # unless another thread has done it

    def _record(self, x: Tensor) -> _Evaluation | None:
        """Ask the model about x, and keep what it asks for; None if that cannot be repeated."""
        if any(has_hooks(module) for module in self.model.modules()):
            self.trouble = "hooks look at its layers"
            return None
        pool = PrivatePool()
        with allocating_from(pool):
            memory = empty_channels_last(four(x), x.dtype) if _lies_in_rows(x) else empty(x.shape, x.dtype)
            np.copyto(memory, x.data)
            with Recording(pool) as recorded, noting_calls() as called:
                outputs = self.model(Tensor(memory))
        if recorded.trouble:
            self.trouble = recorded.trouble
            return None
        plan = Plan(recorded)
        if self.frozen:
            return _Evaluation(plan, memory, outputs, [], None)
        state = [(tensor, tensor.data) for tensor in self._read_by(called)]
        return _Evaluation(plan, memory, outputs, state, Watch([array for _, array in state]))

    def _read_by(self, called: set[Module]) -> list[Tensor]:
        """The parameters and buffers that the model may have read when it called these modules.

        A module of minigrad's own reads what it owns and what its parts own, if it calls none of them, as where a
        normalisation is folded into a convolution. The auxiliary heads, half of GoogLeNet, are not looked at.
        One of somebody else may call what is no part of it, such as the model of another `Captured`.
        """
        found: list[Tensor] = []
        if not is_of_known_parts(self.model):
            for module in (self.model, *called.difference(self.model.modules())):
                found += [*module.parameters(), *module.buffers()]
            return list(dict.fromkeys(found))
        for module in self.model.modules():
            if module in called:
                whole = called.isdisjoint(module.children())
                owned = (*module.parameters(), *module.buffers()) if whole else vars(module).values()
                found += [tensor for tensor in owned if isinstance(tensor, Tensor)]
        return list(dict.fromkeys(found))


def _lies_in_rows(x: Tensor) -> bool:
    """Whether x is recorded channels-last: how an array lies decides in which order it is summed up."""
    return x.ndim == 4 and is_channels_last(x.data)


def _copied(outputs: Any) -> Any:
    if isinstance(outputs, Tensor):
        return Tensor(outputs.data.copy(order="K"))
    return type(outputs)(*map(_copied, outputs)) if hasattr(outputs, "_fields") else tuple(map(_copied, outputs))
