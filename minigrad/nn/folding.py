"""Convolution and batch normalisation as one convolution, in evaluation.

In evaluation, batch normalisation multiplies and shifts each channel by numbers that stand still, and so does a
convolution with another filter and bias:

    norm(conv(x)) = conv'(x),    weight' = weight * scale,    bias' = (bias - mean) * scale + shift,
                                 scale = gamma / sqrt(variance + eps)

with gamma and shift the weight and bias of the normalisation (Jacob et al., arXiv 1712.05877, section 3.2).
The folded filter is kept, with the form in which kernels read it, until a number it was made of changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ..autograd import fuses
from ..kernels import batch_norm
from ..kernels.cpu.fingerprint import fingerprint
from ..kernels.cpu.frozen import freeze
from ..tensor import Tensor
from .convolution import Conv2d
from .module import has_hooks
from .normalization import BatchNorm2d

Layers = tuple[Conv2d, BatchNorm2d]


class Folded(NamedTuple):
    """The filter and bias that normalise, and the fingerprint of what they were made from."""

    source: tuple[Any, ...]
    weight: Tensor
    bias: Tensor


_kept: WeakKeyDictionary[Conv2d, Folded] = WeakKeyDictionary()


def folds(conv: Conv2d, norm: BatchNorm2d, x: Tensor) -> bool:
    """Whether nobody can tell one pass from two, but for rounding."""
    # A layer of another class may have a forward of its own.
    if type(conv) is not Conv2d or type(norm) is not BatchNorm2d or not isinstance(x, Tensor):
        return False
    if norm.training or norm.running_mean is None or norm.running_var is None or x.device != "cpu":
        return False
    if x.dtype not in (np.float32, np.float64) or batch_norm.forward_evaluation.asked_for():
        return False
    if norm.num_features != conv.out_channels or has_hooks(conv) or has_hooks(norm):
        return False
    owned = (conv.weight, conv.bias, norm.weight, norm.bias)
    numbers = (*owned, norm.running_mean, norm.running_var)
    return all(t is None or t.data.dtype == x.data.dtype for t in numbers) and fuses(x, *owned)


def folded(units: Sequence[Layers]) -> tuple[Tensor, Tensor]:
    """The weights and biases that normalise, of one unit after another; all of them fold."""
    numbers = [(norm.eps, *_arrays(conv, norm)) for conv, norm in units]
    shapes = tuple([(eps, *[None if a is None else a.shape for a in arrays]) for eps, *arrays in numbers])
    source = shapes, fingerprint(*[a for _, *arrays in numbers for a in arrays if a is not None])
    first = units[0][0]
    kept = _kept.get(first)
    if kept is None or kept.source != source:
        weights, biases = zip(*(_fold(*given) for given in numbers), strict=True)
        weight, bias = freeze(np.concatenate(weights)), freeze(np.concatenate(biases))
        kept = _kept[first] = Folded(source, Tensor(weight), Tensor(bias))
    return kept.weight, kept.bias


def _arrays(conv: Conv2d, norm: BatchNorm2d) -> list[Any]:
    numbers = (conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return [None if t is None else t.data for t in numbers]


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
