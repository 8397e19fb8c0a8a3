"""Losses as modules."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .arguments import number
from .module import Module


class CrossEntropyLoss(Module):
    """`nn.functional.cross_entropy` between logits (N, C) and class indices (N,).

    Raises:
        MinigradError: if `label_smoothing` is not in [0, 1].
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self.weight, self.ignore_index, self.reduction = weight, ignore_index, reduction
        self.label_smoothing = number("CrossEntropyLoss", "label_smoothing", label_smoothing, most=1.0)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            logits, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class MSELoss(Module):
    """`nn.functional.mse_loss`: the squared difference of two Tensors of one shape."""

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(prediction, target, self.reduction)
