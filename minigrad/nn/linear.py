"""The fully connected layer."""

from __future__ import annotations

from ..creation import zeros
from ..tensor import Tensor
from . import functional as F
from .arguments import integer
from .convolution import reset_like_torch
from .module import Module
from .parameter import Parameter


class Linear(Module):
    """y = x Wᵀ + b on the last axis.

    Args:
        in_features: size of the last axis of the input (..., in_features).
        out_features: size of the last axis of the output (..., out_features).
        bias: whether to add b.

    Attributes:
        weight: (out_features, in_features), float32.
        bias: (out_features,), or None.

    Raises:
        ShapeError: if a size is not a positive integer.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features = integer("Linear", "in_features", in_features)
        self.out_features = integer("Linear", "out_features", out_features)
        self.weight = Parameter(zeros((out_features, in_features)))
        self.bias = Parameter(zeros(out_features)) if bias else None
        reset_like_torch(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
