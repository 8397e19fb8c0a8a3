"""Layers that summarise windows of an image."""

from __future__ import annotations

from ..kernels.errors import ShapeError
from ..tensor import Tensor
from . import functional as F
from .arguments import Pair, pair
from .module import Module


def _window(layer: str, kernel_size: int | Pair, stride: int | Pair | None, padding: int | Pair) -> None:
    """Refuse windows that cannot be."""
    size, around = pair(layer, "kernel_size", kernel_size), pair(layer, "padding", padding, least=0)
    if stride is not None:
        pair(layer, "stride", stride)
    if any(2 * p > k for p, k in zip(around, size, strict=True)):
        raise ShapeError(f"{layer}: padding {padding} must be at most half of the kernel size {kernel_size}")


class MaxPool2d(Module):
    """The largest element of each window: `nn.functional.max_pool2d`.

    Args:
        kernel_size, stride, padding, dilation: an integer for both axes, or (height, width), in pixels;
            the stride is the kernel size if None.
        ceil_mode: round the output size up instead of down.

    Raises:
        ShapeError: if an argument is out of range, or the padding more than half of the window.
    """

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        ceil_mode: bool = False,
    ) -> None:
        _window("MaxPool2d", kernel_size, stride, padding)
        pair("MaxPool2d", "dilation", dilation)
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window: `nn.functional.avg_pool2d`.

    Args:
        kernel_size, stride, padding: an integer for both axes, or (height, width), in pixels; the stride is
            the kernel size if None.
        ceil_mode: round the output size up instead of down.
        count_include_pad: whether padding counts in the divisor.
        divisor_override: divide by this number instead, if not None.

    Raises:
        ShapeError: if an argument is out of range, or the padding more than half of the window.
    """

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        _window("AvgPool2d", kernel_size, stride, padding)
        if divisor_override == 0:
            raise ShapeError("AvgPool2d: divisor_override must not be zero")
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """The means of windows that divide the image into `output_size` parts: `nn.functional.adaptive_avg_pool2d`.

    Args:
        output_size: (P, Q), or one number for both; None keeps the input's size along an axis.

    Raises:
        ShapeError: if a size is not a positive integer.
    """

    def __init__(self, output_size: int | tuple[int | None, int | None]) -> None:
        sizes = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
        pair("AdaptiveAvgPool2d", "output_size", tuple(1 if size is None else size for size in sizes))
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"
