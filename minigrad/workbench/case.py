"""A problem with fresh random arguments on a device, and what the float64 oracle makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minigrad.device import library
from minigrad.kernels.arrays import on_host

from .contracts import Arguments, Contract, arrays_in

# How activations (N, C, H, W) lie in memory: as training has them, as PyTorch's default has them, a slice of the
# channels of a wider array, and every other element of a larger one.
LAYOUTS = ("channels_last", "contiguous", "channel_slice", "strided")


FEW = 100  # so few numbers may by chance all be small


class Case:
    """One problem with several sets of arguments, each at addresses of its own.

    Args:
        layout: of activations, one of LAYOUTS; with "channels_last" everything lies as training has it.
        optional: give the optional arguments, too; else they are None.
        judged: ask the oracle, which takes its time on many images; else nothing is expected.

    Attributes:
        sets: the arguments of each set by name, on the device.
        expected: the oracle's results for each set, float64 (or integers) by name, on the host.
        least_sizes: the root mean square that results have at least in the eyes of `check`, by name: where few
            sums happen to be near zero, their errors are still those of their summands.
    """

    def __init__(
        self,
        contract: Contract,
        problem: Any,
        device: str,
        generator: np.random.Generator,
        sets: int = 2,
        layout: str = "channels_last",
        optional: bool = False,
        judged: bool = True,
    ) -> None:
        self.contract, self.problem, self.device = contract, problem, device
        drawn = [contract.draw(problem, generator) for _ in range(sets)]
        if not optional:
            drawn = [{**arguments, **dict.fromkeys(contract.optional)} for arguments in drawn]
        xp = library(device)
        self.on_device = xp.asarray
        self.expected = [oracle(contract, problem, arguments, xp) for arguments in drawn if judged]
        self.least_sizes = _size_of_few(contract, problem, drawn[0], self.expected[0]) if judged else {}
        self.sets = [self._placed(arguments, layout, xp) for arguments in drawn]
        self.bytes_moved = contract.bytes_moved(problem, self.sets[0])
        self._kept = [[array.copy() for array in self._changing(arguments)] for arguments in self.sets]

    def _placed(self, arguments: Arguments, layout: str, xp: Any) -> Arguments:
        contiguous = self.contract.contiguous if layout == "channels_last" else ()

        def placed(name: str, value: Any) -> Any:
            own = "contiguous" if name in contiguous else layout
            return mapped(value, lambda array: place(array, own, xp))

        return {name: placed(name, value) for name, value in arguments.items()}

    def _changing(self, arguments: Arguments) -> list[Any]:
        """The arrays that the operation changes in place."""
        return arrays_in([arguments[name] for name in self.contract.changes])

    def results(self, number: int, returned: Any) -> list[Any]:
        """The results of a call on set `number`: what it returned, or the arrays that it changed."""
        if self.contract.changes:
            return self._changing(self.sets[number])
        return list(returned) if isinstance(returned, tuple | list) else [returned]

    def restore(self, number: int) -> None:
        """Give the arrays of set `number` that the operation changes the values from before the first call."""
        for array, kept in zip(self._changing(self.sets[number]), self._kept[number], strict=True):
            array[...] = kept

    def swap(self) -> None:
        """Exchange the values of the first two sets, which stay at their addresses."""
        self._kept[0], self._kept[1] = self._kept[1], self._kept[0]
        first, second = (arrays_in(tuple(arguments.values())) for arguments in self.sets[:2])
        for one, other in zip(first, second, strict=True):
            kept = one.copy()
            one[...] = other
            other[...] = kept
        for name, value in self.sets[0].items():  # what is no array (a seed) goes with the values
            if not arrays_in(value):
                self.sets[0][name], self.sets[1][name] = self.sets[1][name], value
        self.expected[0], self.expected[1] = self.expected[1], self.expected[0]


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """An argument with `function` applied to each of its arrays."""
    if isinstance(value, tuple):
        return tuple(mapped(item, function) for item in value)
    return function(value) if hasattr(value, "strides") else value


def place(array: np.ndarray, layout: str, xp: Any) -> Any:
    """A copy of a host array on the device of `xp`; arrays of four axes in `layout`, vectors contiguous.

    Of matrices, too, "strided" takes every other element, and "channel_slice" means that they lie transposed.
    """
    if layout == "channel_slice" and array.ndim in (2, 3):
        result = xp.empty((*array.shape[:-2], array.shape[-1], array.shape[-2]), array.dtype).swapaxes(-1, -2)
    elif array.ndim < 2 or layout == "contiguous" or (array.ndim != 4 and layout != "strided"):
        result = xp.empty(array.shape, array.dtype)
    elif layout == "strided":
        result = xp.empty(tuple(2 * size for size in array.shape), array.dtype)
        result = result[tuple(slice(0, 2 * size, 2) for size in array.shape)]
    else:
        n, c, h, w = array.shape
        before, after = (2, 3) if layout == "channel_slice" else (0, 0)
        wider = xp.empty((n, h, w, before + c + after), array.dtype)
        result = wider[..., before : before + c].transpose(0, 3, 1, 2)
    result[...] = xp.asarray(array)
    return result


def _size_of_few(
    contract: Contract, problem: Any, arguments: Arguments, expected: dict[str, np.ndarray]
) -> dict[str, float]:
    """The root mean square of the first result, were its summands' signs drawn by lot; if it has few elements."""
    name, right = next(iter(expected.items()))
    if not contract.sums_products or not 0 < right.size <= FEW:
        return {}
    squares = oracle(contract, problem, {name: mapped(value, np.square) for name, value in arguments.items()})
    return {name: float(np.sqrt(squares[name].mean()))}


def oracle(contract: Contract, problem: Any, arguments: Arguments, xp: Any = np) -> dict[str, np.ndarray]:
    """The reference variant in float64, by name of the result; on a GPU where there is one, which is faster."""
    xp = np if xp.__name__.startswith("minigrad") else xp

    def widened(array: np.ndarray) -> Any:
        return xp.asarray(array.copy() if array.dtype.kind in "iu" else array.astype(np.float64))

    reference = contract.operation.variants["reference"].function
    wide = {name: mapped(value, widened) for name, value in arguments.items()}
    with np.errstate(all="ignore"):
        returned = reference(replace(problem, dtype="float64"), *wide.values())
    results = list(returned) if isinstance(returned, tuple) else [returned]
    if contract.changes:
        results = arrays_in([wide[name] for name in contract.changes])
    return dict(zip(contract.outputs(problem), (on_host(result) for result in results), strict=True))
