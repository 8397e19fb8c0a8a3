"""Layers that normalise activations."""

from __future__ import annotations

import numpy as np

from ..creation import ones, zeros
from ..kernels.errors import MinigradError
from ..ops.conv import Moments
from ..places import Place
from ..tensor import Tensor
from . import functional as F
from .arguments import integer, number
from .module import Module
from .parameter import Buffer, Parameter


class BatchNorm2d(Module):
    """Batch normalisation of (N, C, H, W), by the batch's statistics in training, by running ones in evaluation.

    Ioffe and Szegedy, arXiv 1502.03167.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: how far running statistics move towards the batch's at each step; None for the plain average
            over all steps.
        affine: whether there are a weight and a bias.
        track_running_stats: whether running statistics are kept; without them evaluation uses the batch's.
        activation: "relu" for max(0, y) in the same pass over memory, or None.

    Attributes:
        weight, bias: (C,), float32, or None.
        running_mean, running_var: (C,), float32, or None.
        num_batches_tracked: (), int64, or None.

    Raises:
        ShapeError: if `num_features` is not a positive integer.
        MinigradError: if eps, momentum or activation is out of range.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        activation: str | None = None,
    ) -> None:
        if activation not in (None, "relu"):
            raise MinigradError(f'BatchNorm2d: activation must be "relu" or None, got {activation!r}')
        self.num_features = integer("BatchNorm2d", "num_features", num_features)
        self.eps = number("BatchNorm2d", "eps", eps)
        self.momentum = None if momentum is None else number("BatchNorm2d", "momentum", momentum, most=1.0)
        self.activation = activation
        self.weight = Parameter(ones(num_features)) if affine else None
        self.bias = Parameter(zeros(num_features)) if affine else None
        self.running_mean = Buffer(zeros(num_features)) if track_running_stats else None
        self.running_var = Buffer(ones(num_features)) if track_running_stats else None
        self.num_batches_tracked = Buffer(zeros((), np.int64)) if track_running_stats else None

    def forward(self, x: Tensor, moments: Moments | None = None, place: Place | None = None) -> Tensor:
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training or self.running_mean is None,
            momentum=self.momentum if self.num_batches_tracked is not None else 0.0,
            eps=self.eps,
            activation=self.activation,
            moments=moments,
            place=place,
            batches=self.num_batches_tracked,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"
        if self.weight is None:
            text += ", affine=False"
        if self.running_mean is None:
            text += ", track_running_stats=False"
        return text if self.activation is None else f"{text}, activation={self.activation!r}"


class LocalResponseNorm(Module):
    """Each channel divided by the activity of its neighbours: `nn.functional.local_response_norm`.

    Args:
        size: how many neighbouring channels count.
        alpha, beta, k: of the formula (k + alpha / size * sum of squares) ** -beta.

    Raises:
        ShapeError: if `size` is not a positive integer.
        MinigradError: if alpha, beta or k is not a number.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        infinity = float("inf")
        self.size = integer("LocalResponseNorm", "size", size)
        self.alpha = number("LocalResponseNorm", "alpha", alpha, least=-infinity)
        self.beta = number("LocalResponseNorm", "beta", beta, least=-infinity)
        self.k = number("LocalResponseNorm", "k", k, least=-infinity)

    def forward(self, x: Tensor) -> Tensor:
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
