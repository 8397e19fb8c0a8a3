"""Convolution and batch normalisation as one convolution, in evaluation.

In evaluation, batch normalisation multiplies and shifts each channel by numbers that stand still, and so does a
convolution with another filter and bias; `kernels.batch_norm.folding` has the formula. On a CPU the folded filter
is kept, with the form in which kernels read it, until a number it was made of changes. On a GPU it is made anew at
each call: one launch, in place of the one that would normalise, which moves no activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ..autocast import dtype_in_products
from ..autograd import fuses
from ..kernels import batch_norm
from ..kernels.batch_norm.folding import Foldable, fold
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
    if norm.training or norm.running_mean is None or norm.running_var is None:
        return False
    if norm.num_features != conv.out_channels or has_hooks(conv) or has_hooks(norm):
        return False
    weight = conv.weight
    if weight.dtype not in (np.float32, np.float64) or batch_norm.forward_evaluation.asked_for():
        return False
    # Mixed precision folds on GPUs, where folded numbers are cast like others. On CPUs 16 bits gain nothing.
    if x.dtype != weight.dtype and (x.device == "cpu" or dtype_in_products(x) != dtype_in_products(weight)):
        return False
    numbers = (weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    alike = all(t is None or (t.dtype == weight.dtype and t.device == x.device) for t in numbers)
    return alike and fuses(x, *numbers)


def folded(units: Sequence[Layers]) -> tuple[Tensor, Tensor]:
    """The weights and biases that normalise, of one unit after another; all of them fold."""
    given = [_foldable(conv, norm) for conv, norm in units]
    first = units[0][0]
    if first.weight.device != "cpu":  # nothing there tells cheaply whether a number has changed
        weight, bias = fold(given)
        return Tensor(weight), Tensor(bias)
    arrays = [a for unit in given for a in unit[:-1]]
    shapes = tuple([None if a is None else a.shape for a in arrays])
    source = [unit.epsilon for unit in given], shapes, fingerprint(*[a for a in arrays if a is not None])
    kept = _kept.get(first)
    if kept is None or kept.source != source:
        weight, bias = fold(given)
        kept = _kept[first] = Folded(source, Tensor(freeze(weight)), Tensor(freeze(bias)))
    return kept.weight, kept.bias


def _foldable(conv: Conv2d, norm: BatchNorm2d) -> Foldable:
    def array(tensor: Tensor | None) -> Any:
        return None if tensor is None else tensor.data

    return Foldable(
        array(conv.weight), array(conv.bias), array(norm.weight), array(norm.bias),
        array(norm.running_mean), array(norm.running_var), norm.eps,
    )  # fmt: skip
