"""Has this array changed? A 64-bit fingerprint of its bytes tells, at the speed of reading them."""

from __future__ import annotations

import numpy as np

from .jit import jit

# Odd numbers without any pattern: of factors with one, such as the multiples of a constant, some always cancel
# when values change places. They are drawn once and for all.
_GENERATOR = np.random.Generator(np.random.PCG64(0))
FACTORS = _GENERATOR.integers(0, 2**32, 1024, np.uint32) | np.uint32(1)
STEP = _GENERATOR.integers(0, 2**64, dtype=np.uint64) | np.uint64(1)


@jit
def fingerprint_of_words(words, factors):  # type: ignore[no-untyped-def]
    total = np.uint64(0)
    for start in range(0, words.size, factors.size):
        block = words[start : start + factors.size]
        inside = np.uint64(0)
        for i in range(block.size):
            inside += np.uint64(block[i]) * np.uint64(factors[i])
        total = total * STEP + inside
    return total


def fingerprint(*arrays: np.ndarray) -> tuple[int, ...]:
    """One number an array: the sum of its 32-bit words, each times an odd number of its own, modulo 2**64.

    Any change of one word changes it, and changes of more cancel about as often as random numbers agree.
    Elements are of 4 or 8 bytes.
    """
    return tuple(
        [fingerprint_of_words(np.ascontiguousarray(a).reshape(-1).view(np.uint32), FACTORS) for a in arrays]
    )
