"""Philox on whole arrays, in 64-bit integers: readable, and the same on NumPy and CuPy."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from ..arrays import Array

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_INCREMENTS = 0x9E3779B9, 0xBB67AE85  # the golden ratio and sqrt(3) - 1, as fractions of 2**32
LOW_WORD = 0xFFFFFFFF


def philox4x32(counter: tuple[Array, Array, Array, Array], key: tuple[int, int]) -> list[Array]:
    """Four random words from four counter words, all uint64 arrays of 32-bit values; the key is two words."""
    c0, c1, c2, c3 = counter
    for i in range(ROUNDS):
        k0, k1 = ((word + i * step) & LOW_WORD for word, step in zip(key, KEY_INCREMENTS, strict=True))
        product0, product1 = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (product1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            product1 & np.uint64(LOW_WORD),
            (product0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            product0 & np.uint64(LOW_WORD),
        )
    return [c0, c1, c2, c3]


def words(seed: int, first_block: int, blocks: int, xp: ModuleType = np) -> Array:
    """Words (blocks, 4) uint32 of the blocks that start with `first_block`; xp is NumPy or CuPy."""
    # Unsigned addition wraps around, as the 64-bit counter does.
    numbers = xp.arange(blocks, dtype=xp.uint64) + xp.uint64(first_block % 2**64)
    zeros = xp.zeros_like(numbers)
    counter = numbers & xp.uint64(LOW_WORD), numbers >> xp.uint64(32), zeros, zeros
    key = seed & LOW_WORD, (seed >> 32) & LOW_WORD
    return xp.stack(philox4x32(counter, key), -1).astype(xp.uint32)
