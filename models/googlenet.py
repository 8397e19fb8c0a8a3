"""GoogLeNet as torchvision builds it: the paper's network with batch normalisation.

    Szegedy et al., "Going deeper with convolutions", CVPR 2015, arXiv 1409.4842, Table 1.
    Ioffe and Szegedy, "Batch normalization", arXiv 1502.03167.

Names of parts, parameters and buffers, and their order, are those of `torchvision.models.googlenet`, so that
weights travel both ways through `state_dict`. It differs from the paper (which `googlenet_paper` follows) in
batch normalisation, which takes the place of biases and of local response normalisation, in 3x3 convolutions where
the paper has 5x5 (a slip that became part of the published weights), a 2x2 fourth pool and adaptive average pools.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minigrad.kernels.errors import ShapeError
from minigrad.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvBatchNorm2d,
    Dropout,
    Linear,
    MaxPool2d,
    Module,
    Sequential,
    concat_branches,
    init,
)
from minigrad.nn import functional as F
from minigrad.nn.arguments import integer
from minigrad.ops.shape import flatten
from minigrad.tensor import Tensor

# What images are normalised by for torchvision's ImageNet models, channel by channel: red, green, blue.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class GoogLeNetOutputs(NamedTuple):
    """Logits (N, num_classes) in training: of the classifier, of the head after 4d, of the head after 4a."""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class BasicConv2d(ConvBatchNorm2d):
    """Convolution without bias, batch normalisation, ReLU: (N, in_channels, H, W) to (N, out_channels, P, Q)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(
            conv=Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False),
            bn=BatchNorm2d(out_channels, eps=0.001, activation="relu"),
        )


ConvolutionBlock = Callable[..., Module]


class Inception(Module):
    """Four branches side by side, joined along the channels: the paper's Figure 2(b).

    Args:
        in_channels: channels of the input.
        ch1x1: filters of the 1x1 branch.
        ch3x3red, ch3x3: filters of the 3x3 branch, and of the 1x1 convolution that reduces its input.
        ch5x5red, ch5x5: likewise for the branch that is 5x5 in the paper.
        pool_proj: filters of the 1x1 convolution after the 3x3 max pool.
        convolution: what makes a convolution with its ReLU.
        third_size: height and width of the filters in the third branch: 5 in the paper, 3 in torchvision.

    Shapes:
        (N, in_channels, H, W) to (N, ch1x1 + ch3x3 + ch5x5 + pool_proj, H, W)
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        convolution: ConvolutionBlock = BasicConv2d,
        third_size: int = 3,
    ) -> None:
        self.branch1 = convolution(in_channels, ch1x1, 1)
        self.branch2 = Sequential(
            convolution(in_channels, ch3x3red, 1),
            convolution(ch3x3red, ch3x3, 3, padding=1),
        )
        self.branch3 = Sequential(
            convolution(in_channels, ch5x5red, 1),
            convolution(ch5x5red, ch5x5, third_size, padding=third_size // 2),
        )
        self.branch4 = Sequential(
            MaxPool2d(3, stride=1, padding=1, ceil_mode=True),
            convolution(in_channels, pool_proj, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return concat_branches([self.branch1, self.branch2, self.branch3, self.branch4], x)


class InceptionAux(Module):
    """A classifier on the side, whose loss carries gradients to the lower layers: section 5 of the paper.

    Shapes:
        (N, in_channels, H, W) to logits (N, num_classes)
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        dropout: float = 0.7,
        convolution: ConvolutionBlock = BasicConv2d,
    ) -> None:
        self.conv = convolution(in_channels, 128, 1)
        self.fc1 = Linear(128 * 4 * 4, 1024)
        self.fc2 = Linear(1024, num_classes)
        self.dropout = Dropout(dropout)

    def pool(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 4, 4)."""
        return F.adaptive_avg_pool2d(x, (4, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.pool(x))
        x = F.relu(self.fc1(flatten(x, 1)))
        return self.fc2(self.dropout(x))


class GoogLeNet(Module):
    """22 layers with parameters, nine of them pairs inside of Inception modules.

    Args:
        num_classes: how many classes the logits are for.
        aux_logits: whether there are the two auxiliary heads, which only training runs.
        transform_input: whether images come normalised by ImageNet's mean and deviation and are
            to be brought to (-1, 1), which torchvision's published weights were trained on.
        init_weights: draw weights from a truncated normal with deviation 0.01, as torchvision does; otherwise they
            keep the layers' own initial values, which is quicker where weights are loaded anyway.
        blocks: what makes a convolution with its ReLU, an Inception module and an auxiliary head.
        dropout, dropout_aux: the probability of dropping a number before the classifier, and in the heads.

    Shapes:
        images (N, 3, H, W) of at least `minimum_size` pixels a side to a GoogLeNetOutputs in training with
        auxiliary heads, otherwise to logits (N, num_classes)

    Raises:
        ShapeError: if images have another shape, or `num_classes` is not a positive integer.
        MinigradError: if a dropout is not a probability.
    """

    minimum_size = 15  # with fewer pixels the third pool has only one left, and its window does not fit

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool = True,
        blocks: Sequence[Callable[..., Module]] = (BasicConv2d, Inception, InceptionAux),
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        convolution, inception, auxiliary = blocks
        self.num_classes = integer(type(self).__name__, "num_classes", num_classes)
        self.aux_logits = aux_logits
        self.transform_input = transform_input

        self.conv1 = convolution(3, 64, 7, stride=2, padding=3)
        self.maxpool1 = MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = convolution(64, 64, 1)
        self.conv3 = convolution(64, 192, 3, padding=1)
        self.maxpool2 = MaxPool2d(3, stride=2, ceil_mode=True)

        self.inception3a = inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = MaxPool2d(3, stride=2, ceil_mode=True)

        self.inception4a = inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = MaxPool2d(2, stride=2, ceil_mode=True)

        self.inception5a = inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = inception(832, 384, 192, 384, 48, 128, 128)

        self.aux1 = auxiliary(512, num_classes, dropout=dropout_aux) if aux_logits else None
        self.aux2 = auxiliary(528, num_classes, dropout=dropout_aux) if aux_logits else None

        self.avgpool = AdaptiveAvgPool2d((1, 1))
        self.dropout = Dropout(dropout)
        self.fc = Linear(1024, num_classes)

        if init_weights:
            self.init_weights()

    def init_weights(self) -> None:
        """Draw weights from a normal with deviation 0.01, cut at two deviations: batch norm rescales the rest."""
        for module in self.modules():
            if isinstance(module, Conv2d | Linear):
                init.trunc_normal_(module.weight, std=0.01, a=-0.02, b=0.02)

    def stem(self, x: Tensor) -> Tensor:
        """The layers before the first Inception module: (N, 3, H, W) to (N, 192, H/8, W/8)."""
        x = self.maxpool1(self.conv1(x))
        return self.maxpool2(self.conv3(self.conv2(x)))

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        self._check(x)
        if self.transform_input:
            x = _from_imagenet_to_half(x)
        x = self.stem(x)

        x = self.inception3a(x)
        x = self.inception3b(x)
        x = self.maxpool3(x)

        x = after_4a = self.inception4a(x)
        x = self.inception4b(x)
        x = self.inception4c(x)
        x = after_4d = self.inception4d(x)
        x = self.inception4e(x)
        x = self.maxpool4(x)

        x = self.inception5a(x)
        x = self.inception5b(x)

        x = flatten(self.avgpool(x), 1)
        logits = self.fc(self.dropout(x))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return GoogLeNetOutputs(logits, self.aux2(after_4d), self.aux1(after_4a))
        return logits

    def _check(self, x: Tensor) -> None:
        name = type(self).__name__
        if x.ndim != 4 or x.shape[1] != 3:
            raise ShapeError(f"{name}: images must be (N, 3, H, W), got shape {x.shape}")
        if min(x.shape[2:]) < self.minimum_size:
            least = self.minimum_size
            raise ShapeError(
                f"{name}: images of {x.shape[2]}x{x.shape[3]} pixels (shape {x.shape}) are too small for its "
                f"pools; resize them to at least {least}x{least}"
            )


def _from_imagenet_to_half(x: Tensor) -> Tensor:
    """Images normalised by ImageNet's statistics, normalised by mean 0.5 and deviation 0.5 instead."""
    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return x * x.xp.asarray(std / 0.5, x.dtype) + x.xp.asarray((mean - 0.5) / 0.5, x.dtype)


def loss(
    outputs: Tensor | GoogLeNetOutputs, labels: Tensor, aux_weight: float = 0.3, label_smoothing: float = 0.0
) -> Tensor:
    """The mean cross-entropy, plus `aux_weight` times that of each auxiliary head (0.3 in the paper's section 5).

    Args:
        outputs: what GoogLeNet returned, in training or in evaluation.
        labels: class indices (N,).
        aux_weight: how much an auxiliary head counts.
        label_smoothing: the share of each label that is spread evenly over all classes.

    Returns:
        One number.

    Raises:
        ShapeError: if labels do not fit the logits, or one is not a class.
    """

    def cross_entropy(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)

    if isinstance(outputs, GoogLeNetOutputs):
        heads = cross_entropy(outputs.aux_logits1) + cross_entropy(outputs.aux_logits2)
        return cross_entropy(outputs.logits) + aux_weight * heads
    return cross_entropy(outputs)
