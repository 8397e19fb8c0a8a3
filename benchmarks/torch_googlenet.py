"""Both GoogLeNets in PyTorch: the yardstick of benchmarks and the oracle of tests.

Written by itself, from the paper's Table 1 and torchvision's layout, so that an error in minigrad's models is not
repeated here. Names of parts are torchvision's; weights travel both ways through `state_dict`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Outputs(NamedTuple):
    """Logits in training: of the classifier, of the second and of the first auxiliary head."""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class ConvNormReLU(nn.Module):
    """torchvision's unit: convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, **window: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, bias=False, **window)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class ConvReLU(nn.Module):
    """The paper's unit: convolution with bias, ReLU."""

    def __init__(self, inputs: int, outputs: int, **window: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, **window)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class Inception(nn.Module):
    """`filters`: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5 (of `five` x `five`); pool projection."""

    def __init__(self, unit: type[nn.Module], five: int, inputs: int, filters: tuple[int, ...]) -> None:
        super().__init__()
        one, reduce_three, three, reduce_five, fifth, projection = filters
        self.branch1 = unit(inputs, one, kernel_size=1)
        self.branch2 = nn.Sequential(
            unit(inputs, reduce_three, kernel_size=1), unit(reduce_three, three, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            unit(inputs, reduce_five, kernel_size=1),
            unit(reduce_five, fifth, kernel_size=five, padding=five // 2),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True),
            unit(inputs, projection, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)), dim=1)


class Head(nn.Module):
    """An auxiliary classifier; `fixed_pool` where its average pool is 5x5 with stride 3, whatever the size."""

    def __init__(self, unit: type[nn.Module], fixed_pool: bool, inputs: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.fixed_pool = fixed_pool
        self.conv = unit(inputs, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 5, 3) if self.fixed_pool else F.adaptive_avg_pool2d(x, (4, 4))
        x = torch.flatten(self.conv(x), 1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


# The paper's Table 1, from #1x1 to pool proj.
FILTERS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class TorchGoogLeNet(nn.Module):
    """GoogLeNet as torchvision has it or, with `paper`, as the paper has it.

    Args:
        num_classes: how many classes the logits are for.
        aux_logits: whether there are auxiliary heads.
        transform_input: whether images normalised by ImageNet's statistics are brought to (-1, 1).
        paper: the paper's own network.
        fixed_aux_pool: with `paper`, the heads' 5x5/3 average pool, which needs images of about 224 pixels.
        dropout, dropout_aux: probabilities before the classifier and in the heads.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        paper: bool = False,
        fixed_aux_pool: bool = False,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        self.transform_input = transform_input
        unit, five = (ConvReLU, 5) if paper else (ConvNormReLU, 3)

        def pool(size: int) -> nn.MaxPool2d:
            return nn.MaxPool2d(size, stride=2, ceil_mode=True)

        def norm() -> nn.Module:
            return nn.LocalResponseNorm(5, alpha=0.0001, beta=0.75) if paper else nn.Identity()

        self.conv1 = unit(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = pool(3)
        self.norm1 = norm()
        self.conv2 = unit(64, 64, kernel_size=1)
        self.conv3 = unit(64, 192, kernel_size=3, padding=1)
        self.norm2 = norm()
        self.maxpool2 = pool(3)
        inputs = 192
        for name, filters in FILTERS.items():
            setattr(self, f"inception{name}", Inception(unit, five, inputs, filters))
            inputs = filters[0] + filters[2] + filters[4] + filters[5]
        self.maxpool3 = pool(3)
        self.maxpool4 = pool(3 if paper else 2)
        self.aux1 = Head(unit, fixed_aux_pool, 512, num_classes, dropout_aux) if aux_logits else None
        self.aux2 = Head(unit, fixed_aux_pool, 528, num_classes, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor | Outputs:
        if self.transform_input:
            shifts = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]
            channels = [x[:, c] * (std / 0.5) + (mean - 0.5) / 0.5 for c, (mean, std) in enumerate(shifts)]
            x = torch.stack(channels, dim=1)
        x = self.norm1(self.maxpool1(self.conv1(x)))
        x = self.maxpool2(self.norm2(self.conv3(self.conv2(x))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        after_4a = self.inception4a(x)
        after_4d = self.inception4d(self.inception4c(self.inception4b(after_4a)))
        x = self.maxpool4(self.inception4e(after_4d))
        x = self.inception5b(self.inception5a(x))
        logits = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return Outputs(logits, self.aux2(after_4d), self.aux1(after_4a))
        return logits


def torch_loss(outputs: Tensor | Outputs, labels: Tensor, aux_weight: float = 0.3) -> Tensor:
    """Mean cross-entropy, each auxiliary head's weighted by `aux_weight`."""
    if isinstance(outputs, Tensor):
        return F.cross_entropy(outputs, labels)
    heads = F.cross_entropy(outputs.aux_logits1, labels) + F.cross_entropy(outputs.aux_logits2, labels)
    return F.cross_entropy(outputs.logits, labels) + aux_weight * heads
