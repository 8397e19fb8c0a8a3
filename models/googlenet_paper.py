"""GoogLeNet as the paper states it, and as its authors' Caffe model `bvlc_googlenet` fills in the rest.

    Szegedy et al., "Going deeper with convolutions", CVPR 2015, arXiv 1409.4842, Table 1 and section 5.
    Local response normalisation: Krizhevsky et al., NIPS 2012, section 3.3.

There is no batch normalisation: convolutions have biases, and local response normalisation follows the first
pool and the third convolution. The third branch of an Inception module is 5x5, the fourth pool 3x3.
"""

from __future__ import annotations

from minigrad.nn import Conv2d, Linear, LocalResponseNorm, MaxPool2d, Module, init
from minigrad.nn import functional as F
from minigrad.tensor import Tensor

from .googlenet import GoogLeNet, Inception, InceptionAux


class BiasedConv2d(Module):
    """Convolution with bias, ReLU: (N, in_channels, H, W) to (N, out_channels, P, Q)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        self.conv = Conv2d(in_channels, out_channels, kernel_size, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class PaperInception(Inception):
    """The Inception module with a real 5x5 branch and biased convolutions."""

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
    ) -> None:
        super().__init__(
            in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj, convolution=BiasedConv2d, third_size=5
        )


class PaperAux(InceptionAux):
    """The auxiliary head with the paper's average pool, 5x5 with stride 3.

    That pool makes the 4x4 pixels which the fully connected layer needs only of 14 to 16 pixels, as there are for
    images of 223 to 270 pixels. For any other size the pool is adaptive, as in torchvision's network.
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.7) -> None:
        super().__init__(in_channels, num_classes, dropout, convolution=BiasedConv2d)

    def pool(self, x: Tensor) -> Tensor:
        if all(14 <= size <= 16 for size in x.shape[2:]):
            return F.avg_pool2d(x, 5, stride=3)
        return super().pool(x)


class GoogLeNetPaper(GoogLeNet):
    """The network of the paper's Table 1; arguments, shapes and errors are those of `GoogLeNet`."""

    minimum_size = 31  # with fewer pixels the fourth pool has only one left, and its window does not fit

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool = True,
        dropout: float = 0.4,
        dropout_aux: float = 0.7,
    ) -> None:
        blocks = (BiasedConv2d, PaperInception, PaperAux)
        super().__init__(num_classes, aux_logits, transform_input, init_weights, blocks, dropout, dropout_aux)
        self.norm1 = LocalResponseNorm(5, alpha=1e-4, beta=0.75)
        self.norm2 = LocalResponseNorm(5, alpha=1e-4, beta=0.75)
        self.maxpool4 = MaxPool2d(3, stride=2, ceil_mode=True)

    def init_weights(self) -> None:
        """Caffe's: weights uniform with variance 1 / fan in ("xavier"), biases 0.2, those of classifiers 0.

        Nothing rescales activations here, so a fixed small deviation, as with batch normalisation, would leave
        nothing of the image after 22 layers. The bias starts most ReLUs on their open side, where they pass on
        variance and gradients. Differences between images still fade, to a hundredth of the activations at 5b:
        on the digits the loss stands still for about a hundred steps before it falls.
        """
        for name, module in self.named_modules():
            if isinstance(module, Conv2d | Linear):
                init.kaiming_uniform_(module.weight, nonlinearity="linear")
                if module.bias is not None:
                    init.constant_(module.bias, 0.0 if name.endswith(("fc", "fc2")) else 0.2)

    def stem(self, x: Tensor) -> Tensor:
        x = self.norm1(self.maxpool1(self.conv1(x)))
        return self.maxpool2(self.norm2(self.conv3(self.conv2(x))))
