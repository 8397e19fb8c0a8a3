"""Convolution, batch normalisation and activation: the unit that GoogLeNet is made of.

In evaluation the normalisation is folded into the filter (`folding`). In training its statistics are found while
the convolution writes what they are of, where the kernel can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import NamedTuple

from ..ops.conv import Moments
from ..places import Place
from ..tensor import Tensor
from . import functional as F
from .convolution import Conv2d
from .folding import Layers, folded, folds
from .module import Module, has_hooks
from .normalization import BatchNorm2d


class Prepared(NamedTuple):
    """What is known of a unit before it runs.

    Attributes:
        place: where its result is best written, or None for anywhere.
        x, y: the convolution of x, if it has been carried out already; folded, if the unit is.
        moments: of y.
    """

    place: Place | None = None
    x: Tensor | None = None
    y: Tensor | None = None
    moments: Moments | None = None


_prepared: ContextVar[Mapping[Layers, Prepared]] = ContextVar("minigrad_units", default=MappingProxyType({}))


@contextmanager
def prepared_units(units: Mapping[Layers, Prepared]) -> Iterator[None]:
    """Let the units of these layers know what is prepared for them, inside a `with` block."""
    token = _prepared.set(units)
    try:
        yield
    finally:
        _prepared.reset(token)


def conv_batch_norm(conv: Conv2d, norm: BatchNorm2d, x: Tensor) -> Tensor:
    """`norm(conv(x))`; in evaluation, where no gradient is wanted, in one pass over memory.

    Args:
        conv, norm: layers whose channels fit each other.
        x: (N, C, H, W).

    Raises:
        ShapeError, DTypeError: as the layers themselves do.
    """
    known = _prepared.get().get((conv, norm), Prepared())
    y = known.y if known.x is x else None
    if folds(conv, norm, x):
        return convolve(conv, x, *folded([(conv, norm)]), norm.activation, place=known.place) if y is None else y
    if type(norm) is not BatchNorm2d:  # it may have a forward of its own
        return norm(conv(x) if y is None else y)
    moments = known.moments
    if y is None:
        moments = Moments() if wants_moments(conv, norm) else None
        y = conv(x) if moments is None else conv(x, moments=moments)
    return norm(y, moments=moments, place=known.place)


def convolve(
    conv: Conv2d,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: str | None = None,
    moments: Moments | None = None,
    place: Place | None = None,
) -> Tensor:
    """What `conv` does, with another weight and bias."""
    window = conv.stride, conv.padding, conv.dilation, conv.groups
    return F.conv2d(x, weight, bias, *window, activation=activation, moments=moments, place=place)


def wants_moments(conv: Conv2d, norm: BatchNorm2d) -> bool:
    """Whether the normalisation is by statistics of what the convolution gives, whatever hooks return instead."""
    if type(conv) is not Conv2d or type(norm) is not BatchNorm2d or has_hooks(conv):
        return False
    return norm.training or norm.running_mean is None


class ConvBatchNorm2d(Module):
    """A convolution and the normalisation of what it gives: `conv_batch_norm` as a layer.

    Args:
        conv, bn: the layers, whose channels fit each other.

    Shapes:
        (N, C, H, W) to (N, K, P, Q), those of `conv`.
    """

    def __init__(self, conv: Conv2d, bn: BatchNorm2d) -> None:
        self.conv = conv
        self.bn = bn

    @property
    def layers(self) -> Layers:
        return self.conv, self.bn

    def forward(self, x: Tensor) -> Tensor:
        return conv_batch_norm(self.conv, self.bn, x)
