"""Memory that is used again: large arrays come from a pool and go back when the last view dies.

The operating system maps and zeroes the pages of every large allocation anew, which on
activations of tens of megabytes costs as much as computing them. A training step asks for
the same sizes over and over, so the blocks of the last step serve the next.

A block is handed out as an array over its bytes; a weak reference to that array returns the block.
NumPy keeps the array alive for as long as any view of it exists.
"""

from __future__ import annotations

import math
import weakref
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from operator import itemgetter

import numpy as np

from ..arrays import Array, is_channels_last
from .recording import again
from .tasks import address_of

SMALLEST_POOLED = 1 << 16  # bytes; below this malloc is as fast
ALIGNMENT = 64  # bytes of a cache line, and of the widest vector: none lies across two lines
LARGEST_WASTE = 1.25  # a block may be this much larger than what was asked for


class BlockPool:
    """Free blocks sorted by size. Best fit, and a new block where none fits well.

    A block is in or out by one change of one list, so that neither another thread nor an interruption in between
    finds a pool that contradicts itself.
    """

    smallest = SMALLEST_POOLED

    def __init__(self) -> None:
        self._free: list[tuple[int, int, np.ndarray]] = []  # size, identity, block
        self.bytes_held = 0

    def take(self, size: int) -> np.ndarray:
        """A block of at least `size` bytes."""
        position = bisect_left(self._free, (size,))
        if position < len(self._free) and self._free[position][0] <= size * LARGEST_WASTE:
            with suppress(IndexError):  # another thread may have been quicker
                block = self._free.pop(position)[2]
                if block.nbytes >= size:
                    return block
                self.give(block)
        return self._new(size)

    def _new(self, size: int) -> np.ndarray:
        self.bytes_held += size
        block = np.empty(size + ALIGNMENT, np.uint8)
        start = -block.ctypes.data % ALIGNMENT
        return block[start : start + size]

    def give(self, block: np.ndarray) -> None:
        """Put a block back."""
        insort(self._free, (block.nbytes, id(block), block))

    def free_blocks(self) -> tuple[np.ndarray, ...]:
        """The blocks that are not in use, for who wants them to hold something (the workbench: NaN)."""
        return tuple(block for _, _, block in self._free)

    def clear(self) -> None:
        """Return the free blocks to the operating system."""
        free, self._free = self._free, []
        self.bytes_held -= sum(size for size, _, _ in free)


class PrivatePool(BlockPool):
    """Memory for work that is recorded and repeated (`recording.py`); small arrays come from it, too."""

    smallest = 0

    def __init__(self) -> None:
        super().__init__()
        self._made: list[tuple[int, int]] = []  # where blocks begin and end, in order

    def _new(self, size: int) -> np.ndarray:
        block = super()._new(size)
        start = block.ctypes.data
        insort(self._made, (start, start + size))
        return block

    def holds(self, array: np.ndarray) -> bool:
        """Whether the memory of `array` is in one of the pool's blocks."""
        start = array.__array_interface__["data"][0]
        position = bisect_right(self._made, start, key=itemgetter(0))
        return position > 0 and start < self._made[position - 1][1]


pool = BlockPool()
_private: ContextVar[BlockPool | None] = ContextVar("minigrad_private_pool", default=None)
# By the reference's id: itself, the block, and where that goes back to.
_lent: dict[int, tuple[weakref.ref[np.ndarray], np.ndarray, BlockPool]] = {}


def _take_back(reference: weakref.ref[np.ndarray]) -> None:
    _, block, home = _lent.pop(id(reference))
    home.give(block)


@contextmanager
def allocating_from(source: BlockPool | None) -> Iterator[None]:
    """Take memory from `source` inside a `with` block; None: from the pool that everybody uses."""
    token = _private.set(source)
    try:
        yield
    finally:
        _private.reset(token)


def empty(shape: tuple[int, ...], dtype: np.dtype | type | str) -> np.ndarray:
    """An uninitialised C-contiguous array, from the pool where it is large."""
    dtype, count = np.dtype(dtype), math.prod(shape)
    size = count * dtype.itemsize
    source = _private.get() or pool
    if size < source.smallest or not size:
        return np.empty(shape, dtype)
    block = source.take(size)
    # A memoryview between block and array keeps NumPy from taking the block for the base of the array's views.
    # A plain reference costs a fifth of `weakref.finalize`.
    array = np.frombuffer(block.data, dtype, count)
    reference = weakref.ref(array, _take_back)
    _lent[id(reference)] = reference, block, source
    return array.reshape(shape)


def empty_channels_last(shape: tuple[int, int, int, int], dtype: np.dtype | type | str) -> np.ndarray:
    """An uninitialised (N, C, H, W) array that lies channels-last."""
    n, c, h, w = shape
    return empty((n, h, w, c), dtype).transpose(0, 3, 1, 2)


def channels_last(array: Array) -> np.ndarray:
    """`array` (N, C, H, W) as it is if it lies channels-last, else a channels-last copy."""
    if is_channels_last(array):
        return array
    copy = empty_channels_last(array.shape, array.dtype)
    again(lambda: np.copyto(copy, array))
    return copy


def contiguous(array: np.ndarray) -> np.ndarray:
    """`array` as it is if it is C-contiguous, else a copy that is."""
    if array.flags.c_contiguous:
        return array
    copy = empty(array.shape, array.dtype)
    again(lambda: np.copyto(copy, array))
    return copy


def pixel_rows(array: np.ndarray) -> tuple[np.ndarray, int]:
    """The memory of a channels-last (N, C, H, W) array as one flat contiguous array, and the distance
    in elements from one pixel to the next.

    Channel c of pixel p = (n*H + h)*W + w is `flat[p * distance + c]`. Kernels take this form because a flat
    array compiles once for whole tensors and for channel slices alike, with vector loads along c.
    """
    n, c, h, w = array.shape
    size = array.itemsize
    if array.size == 0:
        return np.empty(0, array.dtype), c
    rows = array.transpose(0, 2, 3, 1)
    if rows.flags.c_contiguous:
        return rows.reshape(-1), c
    stride_n, _, stride_h, stride_w = array.strides
    pixel = stride_w if w > 1 else (stride_h if h > 1 else (stride_n if n > 1 else c * size))
    length = (n * h * w - 1) * pixel // size + c
    base = array.base
    if isinstance(base, np.ndarray) and base.dtype == array.dtype and base.flags.c_contiguous:
        start = (address_of(array) - address_of(base)) // size
        return base.reshape(-1)[start : start + length], pixel // size  # as_strided takes four times as long
    return np.lib.stride_tricks.as_strided(array, (length,), (size,)), pixel // size
