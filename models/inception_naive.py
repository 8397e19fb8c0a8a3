"""The naive Inception module of the paper's Figure 2(a), and what its reductions save.

    Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 4.

Without 1x1 reductions the 5x5 filters look at all input channels, and the pool hands all of them on, so the
number of channels grows from module to module.
"""

from __future__ import annotations

from typing import NamedTuple

from minigrad.nn import MaxPool2d, Module
from minigrad.ops.shape import concat
from minigrad.tensor import Tensor

from .googlenet import ConvolutionBlock
from .googlenet_paper import BiasedConv2d, PaperInception
from .trace import Shape, cost, trace


class NaiveInception(Module):
    """1x1, 3x3 and 5x5 convolutions and a 3x3 max pool side by side, joined along the channels.

    Args:
        in_channels: channels of the input.
        ch1x1, ch3x3, ch5x5: filters of each size.
        convolution: what makes a convolution with its ReLU.

    Shapes:
        (N, in_channels, H, W) to (N, ch1x1 + ch3x3 + ch5x5 + in_channels, H, W)
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3: int,
        ch5x5: int,
        convolution: ConvolutionBlock = BiasedConv2d,
    ) -> None:
        self.branch1 = convolution(in_channels, ch1x1, 1)
        self.branch2 = convolution(in_channels, ch3x3, 3, padding=1)
        self.branch3 = convolution(in_channels, ch5x5, 5, padding=2)
        self.branch4 = MaxPool2d(3, stride=1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return concat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], axis=1)


class ModuleCost(NamedTuple):
    """What a module costs an image: trained numbers, multiply-adds, and the channels that it makes."""

    parameters: int
    multiply_adds: int
    output_channels: int


class Comparison(NamedTuple):
    """The naive module beside the one with reductions, for the same filters on the same input."""

    naive: ModuleCost
    reduced: ModuleCost


def compare(
    in_channels: int,
    ch1x1: int,
    ch3x3red: int,
    ch3x3: int,
    ch5x5red: int,
    ch5x5: int,
    pool_proj: int,
    size: int = 28,
) -> Comparison:
    """Both Inception modules on an input (in_channels, size, size), with as many 1x1, 3x3 and 5x5 filters.

    The arguments are those of `Inception`, whose reductions and projection the naive module leaves out.
    """
    reduced = PaperInception(in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj)
    naive = NaiveInception(in_channels, ch1x1, ch3x3, ch5x5)
    return Comparison(*(_module_cost(module, (in_channels, size, size)) for module in (naive, reduced)))


def _module_cost(module: Module, input_shape: Shape) -> ModuleCost:
    layers = trace(module, input_shape)
    branches = {layer.path.split(".")[0]: layer.output_shape[0] for layer in layers}
    total = cost(layers)
    return ModuleCost(total.parameters, total.multiply_adds, sum(branches.values()))
