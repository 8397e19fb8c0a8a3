"""Convolution layers."""

from __future__ import annotations

import math

import numpy as np

from ..creation import zeros
from ..kernels.errors import ShapeError
from ..ops.conv import Moments
from ..tensor import Tensor
from . import functional as F
from . import init
from .arguments import Pair, integer, pair
from .module import Module
from .parameter import Parameter


def reset_like_torch(weight: Parameter, bias: Parameter | None) -> None:
    """PyTorch's default initial values: weight and bias uniform in ± 1 / sqrt(fan in).

    That is Kaiming's uniform with the gain of a leaky ReLU of slope sqrt(5), a choice kept from LeCun et al.,
    "Efficient BackProp", section 4.6.
    """
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(init.fan(weight)[0])
        init.uniform_(bias, -bound, bound)


class _Convolution(Module):
    """What `Conv2d` and `ConvTranspose2d` share: their arguments, and how they read."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair,
        padding: int | Pair | str,
        dilation: int | Pair,
        groups: int,
    ) -> None:
        layer = type(self).__name__
        self.in_channels = integer(layer, "in_channels", in_channels)
        self.out_channels = integer(layer, "out_channels", out_channels)
        self.kernel_size = pair(layer, "kernel_size", kernel_size)
        self.stride = pair(layer, "stride", stride)
        self.padding = padding if isinstance(padding, str) else pair(layer, "padding", padding, least=0)
        self.dilation = pair(layer, "dilation", dilation)
        self.groups = integer(layer, "groups", groups)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ShapeError(f"{layer}: groups={groups} must divide {name}={channels}")

    def _make_parameters(self, shape: tuple[int, int], bias: bool) -> None:
        self.weight = Parameter(zeros((*shape, *self.kernel_size)))
        self.bias = Parameter(zeros(self.out_channels)) if bias else None
        reset_like_torch(self.weight, self.bias)

    output_padding: Pair = (0, 0)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        defaults = {"padding": (0, 0), "dilation": (1, 1), "output_padding": (0, 0), "groups": 1}
        for name, default in defaults.items():
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)!r}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


class Conv2d(_Convolution):
    """`nn.functional.conv2d` with a weight of its own.

    Args:
        in_channels: channels C of the input (N, C, H, W).
        out_channels: channels K of the output (N, K, P, Q).
        kernel_size, stride, padding, dilation: an integer for both axes, or (height, width), in pixels; `padding`
            may also be "same" or "valid".
        groups: how many parts channels are divided into, each convolved by itself.
        bias: whether to add a number a channel.

    Attributes:
        weight: (K, C / groups, R, S), float32.
        bias: (K,), or None.

    Raises:
        ShapeError: if an argument is out of range, or `groups` does not divide both channel counts.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        if isinstance(padding, str) and (padding not in ("same", "valid") or self.stride != (1, 1)):
            raise ShapeError(
                f'Conv2d: padding must be numbers, "valid", or "same" with stride 1; '
                f"got {padding!r} with stride {self.stride}"
            )
        self._make_parameters((out_channels, in_channels // groups), bias)

    def forward(self, x: Tensor, moments: Moments | None = None) -> Tensor:
        window = self.stride, self.padding, self.dilation, self.groups
        return F.conv2d(x, self.weight, self.bias, *window, moments=moments)


class ConvTranspose2d(_Convolution):
    """`nn.functional.conv_transpose2d` with a weight of its own.

    Args:
        in_channels: channels K of the input (N, K, P, Q).
        out_channels: channels C of the output (N, C, H, W).
        kernel_size, stride, padding, dilation: an integer for both axes, or (height, width), in pixels.
        output_padding: rows and columns added at the end of the output.
        groups: how many parts channels are divided into, each convolved by itself.
        bias: whether to add a number a channel.

    Attributes:
        weight: (K, C / groups, R, S), float32.
        bias: (C,), or None.

    Raises:
        ShapeError: if an argument is out of range, or `groups` does not divide both channel counts.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        output_padding: int | Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Pair = 1,
    ) -> None:
        if isinstance(padding, str):
            raise ShapeError(f"ConvTranspose2d: padding must be numbers, got {padding!r}")
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.output_padding = pair("ConvTranspose2d", "output_padding", output_padding, least=0)
        if np.any(np.array(self.output_padding) >= np.maximum(self.stride, self.dilation)):
            raise ShapeError(
                f"ConvTranspose2d: output_padding {self.output_padding} must be smaller than "
                f"stride {self.stride} or dilation {self.dilation}"
            )
        self._make_parameters((in_channels, out_channels // groups), bias)

    def forward(self, x: Tensor) -> Tensor:
        assert not isinstance(self.padding, str)
        return F.conv_transpose2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )
