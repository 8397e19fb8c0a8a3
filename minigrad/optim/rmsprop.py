"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..kernels import optimizer_steps
from ..kernels.arrays import Array
from ..kernels.optimizer_steps import RmspropProblem
from ..tensor import Tensor
from .optimizer import Arrays, Group, Optimizer


class RMSprop(Optimizer):
    """Hinton's lecture 6e; formulas and options as `torch.optim.RMSprop`.

    Args:
        params: the Tensors to optimise, or groups; see `Optimizer`.
        lr: learning rate.
        alpha: how much of the running mean of the gradient's square is kept.
        eps: added to the root of the mean square.
        weight_decay: times the parameter, added to its gradient.
        momentum: how much of the last direction is kept.
        centered: divide by the standard deviation of the gradient (Graves, arXiv 1308.0850).
        maximize: go up instead of down.

    Raises:
        MinigradError: if an option is out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {**options, "centered": centered, "maximize": maximize})

    def problem(self, group: Group, dtype: str) -> RmspropProblem:
        return RmspropProblem(
            group["alpha"],
            group["eps"],
            group["momentum"],
            group["centered"],
            group["weight_decay"],
            group["maximize"],
            dtype,
        )

    def kept(self, group: Group) -> tuple[str, ...]:
        momentum = ("momentum_buffer",) if group["momentum"] else ()
        return ("square_avg", *momentum, *(("grad_avg",) if group["centered"] else ()))

    def update(
        self,
        group: Group,
        problem: RmspropProblem,
        parameters: Arrays,
        gradients: Arrays,
        kept: list[Arrays],
        learning_rate: float | Array,
        steps: Sequence[int | Array],
        factor: Array | None,
    ) -> None:
        arrays = dict(zip(self.kept(group), kept, strict=True))
        optimizer_steps.rmsprop(
            problem,
            parameters,
            gradients,
            arrays["square_avg"],
            arrays.get("momentum_buffer", []),
            arrays.get("grad_avg", []),
            learning_rate,
            factor,
        )
