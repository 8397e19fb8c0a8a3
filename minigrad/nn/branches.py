"""Branches that look at one input, joined along the channels, as in an Inception module.

Where nobody can tell the difference, but for rounding,

- convolutions with which several branches begin, and whose windows are alike, are one convolution with all their
  filters. It reads the input once, and its gradient is one convolution, too, in place of a sum of several;
- the layer with which a branch ends writes straight into its channels of the result; joining copies nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from ..autocast import dtype_in_products, for_products
from ..autograd import one_by_one
from ..ops.conv import Moments
from ..ops.parts import parts
from ..ops.shape import concat
from ..places import Place, places_for
from ..tensor import Tensor
from .containers import Sequential
from .conv_unit import ConvBatchNorm2d, Layers, Prepared, convolve, prepared_units, wants_moments
from .convolution import Conv2d
from .folding import folded, folds
from .module import Module, has_hooks


def concat_branches(branches: Sequence[Module], x: Tensor) -> Tensor:
    """`concat([branch(x) for branch in branches], axis=1)`, with less work; see the top of this file.

    Args:
        branches: modules that take (N, C, H, W) and give (N, K, P, Q), each with a K of its own.

    Raises:
        ShapeError: if N, P or Q differ. Whatever the branches raise.
    """
    places = _places(branches)
    units = {layers: Prepared(place=place) for layers, place in places.items()}
    if isinstance(x, Tensor) and not one_by_one():
        for siblings in _siblings(branches, x, places):
            for unit, prepared in zip(siblings, _convolved_together(siblings, x), strict=True):
                units[unit.layers] = prepared._replace(place=places.get(unit.layers))
    with prepared_units(units):
        results = [branch(x) for branch in branches]
    return concat(results, axis=1)


def _unit_at(branch: Module, end: int) -> ConvBatchNorm2d | None:
    """The first (0) or last (-1) layer of a branch, if it is a unit."""
    while type(branch).forward is Sequential.forward and (layers := list(branch.children())):
        branch = layers[end]
    return branch if type(branch).forward is ConvBatchNorm2d.forward else None  # type: ignore[return-value]


def _places(branches: Sequence[Module]) -> dict[Layers, Place]:
    """Where the units with which the branches end write; nowhere, if one does not end with a unit."""
    last = [_unit_at(branch, -1) for branch in branches]
    units = [unit for unit in last if unit is not None]
    if len(units) < len(branches):
        return {}
    places = places_for([unit.conv.out_channels for unit in units])
    return {unit.layers: place for unit, place in zip(units, places, strict=True)}


def _siblings(branches: Sequence[Module], x: Tensor, places: Collection[Layers]) -> list[list[ConvBatchNorm2d]]:
    """The units with which branches begin, those together whose convolutions of x may be one."""
    alike: dict[object, list[ConvBatchNorm2d]] = defaultdict(list)
    for unit in {id(unit): unit for unit in (_unit_at(branch, 0) for branch in branches)}.values():
        if unit is None or type(unit.conv) is not Conv2d or has_hooks(unit.conv):
            continue
        conv, weight = unit.conv, unit.conv.weight
        fits = x.ndim == 4 and x.shape[1] == conv.in_channels and x.device == weight.device
        if fits and dtype_in_products(x) == dtype_in_products(weight) and conv.bias is None and conv.groups == 1:
            folding = folds(conv, unit.bn, x)
            if folding and unit.layers in places:
                continue  # what is the unit's result already is better written where it belongs
            activation = unit.bn.activation if folding else None
            window = weight.shape[1:], conv.stride, conv.padding, conv.dilation
            alike[window, folding, activation].append(unit)
    return [units for units in alike.values() if len(units) > 1]


def _convolved_together(units: Sequence[ConvBatchNorm2d], x: Tensor) -> list[Prepared]:
    """What each unit's convolution makes of x."""
    channels = [unit.conv.out_channels for unit in units]
    if folds(units[0].conv, units[0].bn, x):
        weight, bias = folded([unit.layers for unit in units])
        y = convolve(units[0].conv, x, weight, bias, units[0].bn.activation)
        return [Prepared(x=x, y=part) for part in parts(y, channels)]
    moments = Moments() if all(wants_moments(unit.conv, unit.bn) for unit in units) else None
    weight = concat([for_products(unit.conv.weight) for unit in units], axis=0)
    y = convolve(units[0].conv, x, weight, None, moments=moments)
    found, start = [], 0
    for part, count in zip(parts(y, channels), channels, strict=True):
        found.append(Prepared(None, x, part, None if moments is None else moments.of(start, start + count)))
        start += count
    return found
