"""Adam, with weight decay in the gradient or apart from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..kernels import optimizer_steps
from ..kernels.arrays import Array
from ..kernels.optimizer_steps import AdamProblem
from ..tensor import Tensor
from .optimizer import Arrays, Group, Optimizer


class Adam(Optimizer):
    """Kingma and Ba, arXiv 1412.6980; formulas and options as `torch.optim.Adam`.

    Args:
        params: the Tensors to optimise, or groups; see `Optimizer`.
        lr: learning rate.
        betas: how much of the running means of the gradient and of its square is kept.
        eps: added to the root of the mean square.
        weight_decay: times the parameter, added to its gradient.
        maximize: go up instead of down.

    Raises:
        MinigradError: if an option is out of range.
    """

    decoupled = False

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        )

    def problem(self, group: Group, dtype: str) -> AdamProblem:
        first, second = group["betas"]
        return AdamProblem(
            (first, second), group["eps"], group["weight_decay"], self.decoupled, group["maximize"], dtype
        )

    def kept(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def update(
        self,
        group: Group,
        problem: AdamProblem,
        parameters: Arrays,
        gradients: Arrays,
        kept: list[Arrays],
        learning_rate: float | Array,
        steps: Sequence[int | Array],
        factor: Array | None,
    ) -> None:
        optimizer_steps.adam(problem, parameters, gradients, *kept, learning_rate, steps, factor)


class AdamW(Adam):
    """Adam with the weight decay apart from the gradient: Loshchilov and Hutter, arXiv 1711.05101.

    The options are those of `Adam`; the parameter is multiplied by 1 - lr * weight_decay at each step.
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, maximize)
