"""Philox one block at a time, for compiled loops. Every number is a uint64 that holds 32 bits."""

from __future__ import annotations

import numpy as np

from ..cpu.jit import jit
from .reference import KEY_INCREMENTS, LOW_WORD, MULTIPLIERS, ROUNDS

_MASK, _HALF = np.uint64(LOW_WORD), np.uint64(32)
_MULTIPLIER0, _MULTIPLIER1 = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
_INCREMENT0, _INCREMENT1 = np.uint64(KEY_INCREMENTS[0]), np.uint64(KEY_INCREMENTS[1])


@jit
def block(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Four random words from four counter words and two key words."""
    for _ in range(ROUNDS):
        product0, product1 = c0 * _MULTIPLIER0, c2 * _MULTIPLIER1
        c0, c2 = (product1 >> _HALF) ^ c1 ^ k0, (product0 >> _HALF) ^ c3 ^ k1
        c1, c3 = product1 & _MASK, product0 & _MASK
        k0, k1 = (k0 + _INCREMENT0) & _MASK, (k1 + _INCREMENT1) & _MASK
    return c0, c1, c2, c3
