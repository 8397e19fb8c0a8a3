"""Philox4x32-10, the counter-based random number generator of the kernels.

Block number b of a seed is a pure function of both: four words of 32 random bits. Nothing has to be
stored or handed on, so any device and any thread draws the same stream, a backward pass can draw a
mask again, and a resumed run goes on exactly where it stopped.

    words(seed, first_block, blocks, xp) -> (blocks, 4) uint32     `reference.py`, whole arrays
    block(counter words, key words)      -> four uint32            `cpu.py`, for compiled loops
    philox(seed, block number)           -> four unsigned          `philox.cuh`, for CUDA kernels

The counter is (block number, 0) in 64-bit halves, the key is the seed; both are taken modulo 2**64.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.
"""

from .reference import words

__all__ = ["words"]
