"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..kernels import optimizer_steps
from ..kernels.arrays import Array
from ..kernels.optimizer_steps import SgdProblem
from ..tensor import Tensor
from .optimizer import Arrays, Group, Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum where asked for; formulas and options as `torch.optim.SGD`.

    Args:
        params: the Tensors to optimise, or groups; see `Optimizer`.
        lr: learning rate.
        momentum: how much of the last direction is kept.
        dampening: how much of the gradient is left out of the direction.
        weight_decay: times the parameter, added to its gradient.
        nesterov: whether to look ahead by the momentum (Sutskever et al., ICML 2013).
        maximize: go up instead of down.

    Raises:
        MinigradError: if an option is out of range, or nesterov without momentum or with dampening.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**options, "nesterov": nesterov, "maximize": maximize})

    def problem(self, group: Group, dtype: str) -> SgdProblem:
        return SgdProblem(
            group["momentum"],
            group["dampening"],
            group["nesterov"],
            group["weight_decay"],
            group["maximize"],
            dtype,
        )

    def kept(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def update(
        self,
        group: Group,
        problem: SgdProblem,
        parameters: Arrays,
        gradients: Arrays,
        kept: list[Arrays],
        learning_rate: float | Array,
        steps: Sequence[int | Array],
        factor: Array | None,
    ) -> None:
        momenta = kept[0] if kept else []
        optimizer_steps.sgd(problem, parameters, gradients, momenta, learning_rate, steps, factor)
