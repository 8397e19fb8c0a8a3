"""Parts of a concatenation that are written side by side in the first place: joining them copies nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..arrays import Array, device_of
from ..cpu import buffers as on_cpu
from ..cuda import buffers as on_gpu


class SideBySide:
    """One channels-last buffer for (N, C, H, W) arrays of `channels` each, which will be joined along axis 1.

    Whoever makes an array asks for its place and writes it there. The buffer comes into being with the first
    place, whose array says how large images are. A place is only an offer: nobody has to take it, and arrays that
    lie elsewhere are copied when they are joined, as ever.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        self.starts = [0, *itertools.accumulate(channels)]
        self._buffer: Array | None = None
        self._taken: set[int] = set()

    def place(self, number: int, shape: tuple[int, ...], like: Array) -> Array | None:
        """Where array `number` belongs, an array of `shape` with the dtype and device of `like`.

        None if it has been asked for before, or such an array does not fit beside the others.
        """
        n, channels, h, w = shape
        start, stop = self.starts[number : number + 2]
        if number in self._taken or channels != stop - start:
            return None
        whole = (n, self.starts[-1], h, w)
        if self._buffer is None:
            if device_of(like) == "cpu":
                self._buffer = on_cpu.empty_channels_last(whole, like.dtype)
            else:
                self._buffer = on_gpu.empty_channels_last(whole, like.dtype, like=like)
        known = self._buffer
        if known.shape != whole or known.dtype != like.dtype or device_of(known) != device_of(like):
            return None
        self._taken.add(number)
        return known[:, start:stop]
