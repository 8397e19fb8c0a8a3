"""Convolution and batch normalisation as one: the unit that GoogLeNet is made of.

In evaluation, batch normalisation multiplies and shifts each channel by numbers that stand still, and so does a
convolution with another filter and bias:

    norm(conv(x)) = conv'(x),    weight' = weight * scale,    bias' = (bias - mean) * scale + shift,
                                 scale = gamma / sqrt(variance + eps)

with gamma and shift the weight and bias of the normalisation (Jacob et al., arXiv 1712.05877, section 3.2).
The folded filter is kept, with the form in which kernels read it, until a number it was made of changes.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ..autograd import fuses
from ..kernels import batch_norm
from ..kernels.cpu.fingerprint import fingerprint
from ..kernels.cpu.frozen import freeze
from ..tensor import Tensor
from . import functional as F
from .convolution import Conv2d
from .normalization import BatchNorm2d


class Folded(NamedTuple):
    """The filter and bias that normalise, and the fingerprint of what they were made from."""

    source: tuple[Any, ...]
    weight: Tensor
    bias: Tensor


_kept: WeakKeyDictionary[Conv2d, Folded] = WeakKeyDictionary()


def conv_batch_norm(conv: Conv2d, norm: BatchNorm2d, x: Tensor) -> Tensor:
    """`norm(conv(x))`; in evaluation, where no gradient is wanted, in one pass over memory.

    Args:
        conv, norm: layers whose channels fit each other.
        x: (N, C, H, W).

    Raises:
        ShapeError, DTypeError: as the layers themselves do.
    """
    if not _folds(conv, norm, x):
        return norm(conv(x))
    weight, bias = _folded(conv, norm)
    return F.conv2d(
        x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups, activation=norm.activation
    )


def _folds(conv: Conv2d, norm: BatchNorm2d, x: Tensor) -> bool:
    """Whether nobody can tell one pass from two, but for rounding."""
    # A layer of another class may have a forward of its own.
    if type(conv) is not Conv2d or type(norm) is not BatchNorm2d or not isinstance(x, Tensor):
        return False
    if norm.training or norm.running_mean is None or norm.running_var is None or x.device != "cpu":
        return False
    if x.dtype not in (np.float32, np.float64) or batch_norm.forward_evaluation.asked_for():
        return False
    if norm.num_features != conv.out_channels or "_forward_hooks" in {**vars(conv), **vars(norm)}:
        return False
    owned = (conv.weight, conv.bias, norm.weight, norm.bias)
    numbers = (*owned, norm.running_mean, norm.running_var)
    return all(t is None or t.data.dtype == x.data.dtype for t in numbers) and fuses(x, *owned)


def _folded(conv: Conv2d, norm: BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None
    numbers = (conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    arrays: list[Any] = [None if t is None else t.data for t in numbers]
    shapes = tuple([None if a is None else a.shape for a in arrays])
    source = (norm.eps, shapes, fingerprint(*[a for a in arrays if a is not None]))
    kept = _kept.get(conv)
    if kept is None or kept.source != source:
        weight, bias = _fold(norm.eps, *arrays)
        kept = _kept[conv] = Folded(source, Tensor(freeze(weight)), Tensor(freeze(bias)))
    return kept.weight, kept.bias


def _fold(
    eps: float,
    weight: np.ndarray,
    bias: np.ndarray | None,
    gamma: np.ndarray | None,
    shift: np.ndarray | None,
    mean: np.ndarray,
    variance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The folded weight and bias, computed in float64 and rounded once."""
    scale = (1.0 if gamma is None else gamma) / np.sqrt(variance.astype(np.float64) + eps)
    folded_bias = ((0.0 if bias is None else bias) - mean.astype(np.float64)) * scale
    if shift is not None:
        folded_bias += shift
    return (weight * scale.reshape(-1, 1, 1, 1)).astype(weight.dtype), folded_bias.astype(weight.dtype)
