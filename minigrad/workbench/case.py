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


class Case:
    """One problem with several sets of arguments, each at addresses of its own.

    Attributes:
        sets: the arguments of each set by name, on the device.
        expected: the oracle's results for each set, float64 (or integers) by name, on the host.
    """

    def __init__(
        self,
        contract: Contract,
        problem: Any,
        device: str,
        generator: np.random.Generator,
        sets: int = 2,
        layout: str = "channels_last",
    ) -> None:
        self.contract, self.problem, self.device = contract, problem, device
        drawn = [contract.draw(problem, generator) for _ in range(sets)]
        xp = library(device)
        self.on_device = xp.asarray
        self.expected = [oracle(contract, problem, arguments, xp) for arguments in drawn]
        self.sets = [mapped(arguments, lambda array: place(array, layout, xp)) for arguments in drawn]
        self.bytes_moved = contract.bytes_moved(problem, self.sets[0])

    def swap(self) -> None:
        """Exchange the values of the first two sets, which stay at their addresses."""
        first, second = (arrays_in(tuple(arguments.values())) for arguments in self.sets[:2])
        for one, other in zip(first, second, strict=True):
            kept = one.copy()
            one[...] = other
            other[...] = kept
        for name, value in self.sets[0].items():  # what is no array (a seed) goes with the values
            if isinstance(value, int):
                self.sets[0][name], self.sets[1][name] = self.sets[1][name], value
        self.expected[0], self.expected[1] = self.expected[1], self.expected[0]


def mapped(arguments: Arguments, function: Callable[[Any], Any]) -> Arguments:
    """`arguments` with `function` applied to each array."""

    def convert(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(convert(item) for item in value)
        return function(value) if hasattr(value, "strides") else value

    return {name: convert(value) for name, value in arguments.items()}


def place(array: np.ndarray, layout: str, xp: Any) -> Any:
    """A copy of a host array on the device of `xp`; arrays of four axes in `layout`, others contiguous."""
    if array.ndim != 4 or layout == "contiguous":
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


def oracle(contract: Contract, problem: Any, arguments: Arguments, xp: Any = np) -> dict[str, np.ndarray]:
    """The reference variant in float64, by name of the result; on a GPU where there is one, which is faster."""
    xp = np if xp.__name__.startswith("minigrad") else xp

    def widened(array: np.ndarray) -> Any:
        return xp.asarray(array if array.dtype.kind in "iu" else array.astype(np.float64))

    reference = contract.operation.variants["reference"].function
    wide = mapped(arguments, widened)
    with np.errstate(all="ignore"):
        returned = reference(replace(problem, dtype="float64"), *wide.values())
    results = returned if isinstance(returned, tuple) else (returned,)
    return dict(zip(contract.outputs(problem), (on_host(result) for result in results), strict=True))
