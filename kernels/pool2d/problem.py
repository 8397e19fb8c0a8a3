"""The shape of a pooling, as one hashable value, and the rules that say which elements a window holds."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ShapeError

Pair = tuple[int, int]
Shape = tuple[int, int, int, int]
Span = tuple[int, int]  # first element of a window along one axis, and one past its last


@dataclass(frozen=True)
class Pool2dProblem:
    """Max or average pooling of an input of `shape` (N, C, H, W) over windows of one size.

    Raises:
        ShapeError: if the window parameters are out of range, the padding is larger than half the window,
            or no window fits into the input.
    """

    shape: Shape
    kernel_size: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        _check_input("pooling", self.shape)
        for name, pair, least in (
            ("kernel_size", self.kernel_size, 1),
            ("stride", self.stride, 1),
            ("padding", self.padding, 0),
            ("dilation", self.dilation, 1),
        ):
            if len(pair) != 2 or min(pair) < least:
                raise ShapeError(f"pooling: {name} must be two numbers of at least {least}, got {pair}")
        if any(2 * pad > size for pad, size in zip(self.padding, self.kernel_size, strict=True)):
            raise ShapeError(
                f"pooling: padding must be at most half of the kernel size, "
                f"got padding {self.padding} for kernel_size {self.kernel_size}"
            )
        if self.divisor_override == 0:
            raise ShapeError("pooling: divisor_override must not be zero")
        if min(self.output_size) < 1:
            raise ShapeError(
                f"pooling: a window of {self.kernel_size} with dilation {self.dilation} does not fit into "
                f"an input of {self.shape[2:]} with padding {self.padding}"
            )

    @property
    def output_size(self) -> Pair:
        """(height, width): (size + 2 padding - dilation (kernel - 1) - 1) / stride + 1.

        The quotient is rounded down or, with `ceil_mode`, up; but the last window must start inside of the
        input or of the padding before it.
        """
        return self._output_length(0), self._output_length(1)

    def _output_length(self, axis: int) -> int:
        size, pad, stride = self.shape[2 + axis], self.padding[axis], self.stride[axis]
        reach = size + 2 * pad - self.dilation[axis] * (self.kernel_size[axis] - 1) - 1
        length = (reach + (stride - 1 if self.ceil_mode else 0)) // stride + 1
        if self.ceil_mode and (length - 1) * stride >= size + pad:
            length -= 1
        return length

    @property
    def output_shape(self) -> Shape:
        return (*self.shape[:2], *self.output_size)

    @property
    def index_dtype(self) -> str:
        """The smallest integer that numbers the elements of a window."""
        elements = self.kernel_size[0] * self.kernel_size[1]
        return "uint8" if elements <= 1 << 8 else "uint16" if elements <= 1 << 16 else "int32"

    def spans(self, axis: int) -> list[Span]:
        """Where each window of average pooling lies along `axis` (0 height, 1 width), inside the input."""
        return [(max(start, 0), min(stop, self.shape[2 + axis])) for start, stop in self._padded_spans(axis)]

    def lengths(self, axis: int) -> list[int]:
        """What each window of average pooling counts for along `axis`: the divisor's factor."""
        spans = self._padded_spans(axis) if self.count_include_pad else self.spans(axis)
        return [stop - start for start, stop in spans]

    def _padded_spans(self, axis: int) -> list[Span]:
        """Windows inside of the input with its padding; what `ceil_mode` adds beyond counts for nothing."""
        stride, pad, size = self.stride[axis], self.padding[axis], self.shape[2 + axis]
        starts = range(-pad, self.output_size[axis] * stride - pad, stride)
        return [(start, min(start + self.kernel_size[axis], size + pad)) for start in starts]


@dataclass(frozen=True)
class AdaptiveAveragePool2dProblem:
    """The means of (P, Q) = `output_size` windows that together cover an input of `shape` (N, C, H, W).

    Raises:
        ShapeError: if a size is not positive.
    """

    shape: Shape
    output_size: Pair
    dtype: str = "float32"

    def __post_init__(self) -> None:
        _check_input("adaptive pooling", self.shape)
        if len(self.output_size) != 2 or min(self.output_size) < 1:
            raise ShapeError(f"adaptive pooling: output_size must be two positive numbers, got {self.output_size}")

    # Read by the same kernels as the plain problem, which has these as fields.
    dilation = (1, 1)
    divisor_override = None

    @property
    def output_shape(self) -> Shape:
        return (*self.shape[:2], *self.output_size)

    def spans(self, axis: int) -> list[Span]:
        """Window p covers elements floor(p * size / outputs) to ceil((p + 1) * size / outputs)."""
        size, outputs = self.shape[2 + axis], self.output_size[axis]
        return [(p * size // outputs, -(-(p + 1) * size // outputs)) for p in range(outputs)]

    def lengths(self, axis: int) -> list[int]:
        """What each window counts for along `axis`: its length."""
        return [stop - start for start, stop in self.spans(axis)]


def _check_input(name: str, shape: Shape) -> None:
    if len(shape) != 4 or min(shape[1:]) < 1:
        raise ShapeError(
            f"{name}: the input must be (N, C, H, W) with at least one channel and pixel, got {shape}"
        )
