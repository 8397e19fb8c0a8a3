"""Convolution and batch normalisation as one convolution, in evaluation.

In evaluation, batch normalisation multiplies and shifts each channel by numbers that stand still, and so does a
convolution with another filter and bias; `kernels.batch_norm.folding` has the formula. On a CPU the folded filter
is kept, with the form in which kernels read it, until a number it was made of changes. On a GPU it is made anew at
each call: one launch, in place of the one that would normalise, which moves no activation.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ..autocast import dtype_in_products
from ..autograd import fuses
from ..kernels import batch_norm
from ..kernels.arrays import device_of
from ..kernels.batch_norm.folding import Foldable, fold
from ..kernels.cpu.frozen import freeze
from ..kernels.cpu.watch import Watch
from ..tensor import Tensor
from .convolution import Conv2d
from .module import has_hooks
from .normalization import BatchNorm2d

Layers = tuple[Conv2d, BatchNorm2d]


class Folded(NamedTuple):
    """The filter and bias that normalise, and what they were made from."""

    arrays: list[Any]
    watch: Watch
    epsilons: list[float]
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
    dtype, device = weight.dtype, x.device
    if dtype not in (np.float32, np.float64) or batch_norm.forward_evaluation.asked_for():
        return False
    # Mixed precision folds on GPUs, where folded numbers are cast like others. On CPUs 16 bits gain nothing.
    if x.dtype != dtype and (device == "cpu" or dtype_in_products(x) != dtype_in_products(weight)):
        return False
    numbers = (weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    for number in numbers:
        if number is not None and (number.dtype != dtype or device_of(number.data) != device):
            return False
    return fuses(x, *numbers)


def folded(units: Sequence[Layers]) -> tuple[Tensor, Tensor]:
    """The weights and biases that normalise, of one unit after another; all of them fold."""
    given = [_foldable(conv, norm) for conv, norm in units]
    first = units[0][0]
    if first.weight.device != "cpu":  # nothing there tells cheaply whether a number has changed
        weight, bias = fold(given)
        return Tensor(weight), Tensor(bias)
    arrays = [array for unit in given for array in unit[:-1]]
    epsilons = [unit.epsilon for unit in given]
    kept = _kept.get(first)
    if kept is None or kept.epsilons != epsilons or not _same(kept.arrays, arrays) or kept.watch.sees_change():
        weight, bias = fold(given)
        watch = Watch([array for array in arrays if array is not None])
        kept = _kept[first] = Folded(arrays, watch, epsilons, Tensor(freeze(weight)), Tensor(freeze(bias)))
    return kept.weight, kept.bias


def _same(first: list[Any], second: list[Any]) -> bool:
    """Whether these are the same objects."""
    return len(first) == len(second) and all(map(operator.is_, first, second))


def _foldable(conv: Conv2d, norm: BatchNorm2d) -> Foldable:
    def array(tensor: Tensor | None) -> Any:
        return None if tensor is None else tensor.data

    return Foldable(
        array(conv.weight), array(conv.bias), array(norm.weight), array(norm.bias),
        array(norm.running_mean), array(norm.running_var), norm.eps,
    )  # fmt: skip
