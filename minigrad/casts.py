"""Casts from one dtype to another, and how their gradients come back.

A network in mixed precision casts each of its parameters to 16 bits, and each of their gradients back. Launch by
launch these are a tenth of a training step on a GPU. So a cast may take numbers that somebody made with all others
before (`autocast`), and the gradient of a leaf waits until all have come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from .autograd import Function, is_grad_enabled
from .kernels.arrays import Array, device_of
from .kernels.optimizer_steps import casts
from .tensor import Tensor


class Cast(Function):
    """Another dtype; the gradient is cast back. `known` is the result, a raw array, if somebody has it already."""

    saves_inputs = False

    def __init__(self, dtype: Any, known: Array | None = None) -> None:
        self.dtype, self.known = np.dtype(dtype), known

    def forward(self, x: Array) -> Array:
        known, self.known = self.known, None
        return x.astype(self.dtype) if known is None else known

    def backward(self, gradient: Tensor) -> Tensor:
        return gradient

    def _conform(self, gradient: Tensor, shape: tuple[int, ...], dtype: Any) -> Tensor:
        if is_grad_enabled() or isinstance(self.edges[0], Function) or gradient.dtype == dtype:
            return super()._conform(gradient, shape, dtype)
        return LateCast(gradient.data, dtype)


class LateCast(Tensor):
    """The gradient of a leaf in another dtype than that `wanted`.

    No operation ever meets it: where it is to be added to another one, or the pass back ends, it is cast.
    """

    __slots__ = ("wanted",)

    def __init__(self, data: Array, wanted: Any) -> None:
        super().__init__(data)
        self.wanted = np.dtype(wanted)

    def whole(self) -> Tensor:
        """The gradient in the dtype that it belongs in."""
        return cast_together([self])[0]


def cast_together(gradients: Sequence[LateCast]) -> list[Tensor]:
    """The gradients in the dtypes that they belong in; a launch for all that are alike."""
    alike: dict[Any, list[int]] = defaultdict(list)
    for number, gradient in enumerate(gradients):
        alike[device_of(gradient.data), gradient.dtype, gradient.wanted].append(number)
    results: dict[int, Tensor] = {}
    for (_, _, wanted), numbers in alike.items():
        arrays = casts.each([gradients[number].data for number in numbers], wanted)
        results.update(zip(numbers, map(Tensor, arrays), strict=True))
    return [results[number] for number in range(len(gradients))]
