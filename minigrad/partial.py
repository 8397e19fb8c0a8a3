"""Gradients of parts: of a Tensor that is read channel range by channel range, each by another operation.

Each range brings a gradient of its own channels, zero elsewhere. Padded with zeros and added up they would pass
over memory once a range; laid side by side they are the sum at once. Where whoever made them wrote them side by
side (`kernels.concat.SideBySide`) that copies nothing.
"""

from __future__ import annotations

from .casts import LateCast
from .kernels import concat
from .kernels.arrays import Array, array_module, dtype_name
from .kernels.concat import ConcatProblem
from .tensor import Tensor


class PartGradient(Tensor):
    """The gradient of channels `start` and following of an (N, C, H, W) Tensor with `channels` of them.

    `data` is of these channels alone. No operation ever meets it: the pass back over the tape joins it with those
    of the other parts of the same `division`, and hands on the whole of them.
    """

    __slots__ = ("channels", "division", "parts")

    def __init__(self, data: Array, start: int, channels: int, division: object) -> None:
        super().__init__(data)
        self.channels, self.division = channels, division
        self.parts = {start: data}

    def whole(self) -> Tensor:
        """The gradient of all channels; of those whose gradient did not come it is zero."""
        arrays: list[Array] = []
        end = 0
        for start, array in sorted(self.parts.items(), key=lambda part: part[0]):
            self._pad(arrays, start - end)
            arrays.append(array)
            end = start + array.shape[1]
        self._pad(arrays, self.channels - end)
        problem = ConcatProblem(tuple([tuple(a.shape) for a in arrays]), 1, dtype_name(self.dtype))
        return Tensor(concat.forward(problem, tuple(arrays)))

    def _pad(self, arrays: list[Array], channels: int) -> None:
        n, _, h, w = self.data.shape
        if channels:
            arrays.append(array_module(self.data).zeros((n, channels, h, w), self.data.dtype))


def joined(first: Tensor, second: Tensor) -> bool:
    """Take the second gradient into the first, if they are of parts of one division; whether they are."""
    if not isinstance(first, PartGradient) or not isinstance(second, PartGradient):
        return False
    if first.division is not second.division:
        return False
    first.parts.update(second.parts)
    return True


def whole(gradient: Tensor) -> Tensor:
    """The gradient itself, of all channels and in its dtype."""
    return gradient.whole() if isinstance(gradient, PartGradient | LateCast) else gradient
