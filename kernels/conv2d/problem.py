"""The shape of a convolution, as one hashable value."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from ..errors import ShapeError

Pair = tuple[int, int]


@dataclass(frozen=True)
class Conv2dProblem:
    """All that a convolution kernel needs to know besides its arrays.

    The input is (batch, in_channels, *input_size), the weight (out_channels, in_channels / groups,
    *filter_size), the output (batch, out_channels, *output_size).
    """

    batch: int
    in_channels: int
    input_size: Pair
    out_channels: int
    filter_size: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    dtype: str = "float32"

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self.input_shape, self.weight_shape, self.stride, self.padding, self.dilation, self.dtype))

    def __hash__(self) -> int:
        """Computed once: the registry looks a problem up at every call."""
        return self._hash

    def __post_init__(self) -> None:
        if self.groups < 1 or self.in_channels % self.groups or self.out_channels % self.groups:
            raise ShapeError(
                f"conv2d: groups={self.groups} must divide the {self.in_channels} input channels "
                f"and the {self.out_channels} output channels"
            )
        for name, pair, least in (
            ("stride", self.stride, 1),
            ("padding", self.padding, 0),
            ("dilation", self.dilation, 1),
            ("filter size", self.filter_size, 1),
        ):
            if min(pair) < least:
                raise ShapeError(f"conv2d: {name} must be at least {least}, got {pair}")
        if min(self.output_size) < 1:
            raise ShapeError(
                f"conv2d: a filter of {self.filter_size} with dilation {self.dilation} does not fit into "
                f"an input of {self.input_size} with padding {self.padding}"
            )

    @functools.cached_property
    def output_size(self) -> Pair:
        """(height, width): floor((size + 2 padding - dilation (filter - 1) - 1) / stride) + 1."""
        height, width = (
            (size + 2 * padding - dilation * (extent - 1) - 1) // stride + 1
            for size, padding, dilation, extent, stride in zip(
                self.input_size, self.padding, self.dilation, self.filter_size, self.stride, strict=True
            )
        )
        return height, width

    @functools.cached_property
    def input_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.in_channels, *self.input_size)

    @functools.cached_property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return (self.out_channels, self.in_channels // self.groups, *self.filter_size)

    @functools.cached_property
    def output_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.out_channels, *self.output_size)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the direct method; the same number for the forward and for each gradient."""
        height, width = self.output_size
        _, channels, filter_height, filter_width = self.weight_shape
        return self.batch * self.out_channels * height * width * channels * filter_height * filter_width
