"""What a launch in the emulator asks of the GPU, counted: bytes, barriers, atomics, tensor cores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Counts:
    """Sums over all threads of a launch, or of several.

    Bytes are those that threads ask for, whatever caches and neighbours spare them: a value that is read by every
    thread of a block counts so many times. Loads that the compiler saves (g++ -O2) do not count; nor do a
    thread's own variables, which may lie in registers, and constants. Ordinary arithmetic is not counted.

    Attributes:
        threads: launched, those that return at once included.
        bytes_loaded, bytes_stored: from and to the arrays in global memory, by loads, stores and cp.async; without
            atomics.
        shared_bytes_loaded, shared_bytes_stored: from and to the shared memory of the blocks, by loads, stores,
            ldmatrix and cp.async.
        bytes_copied: from global to shared memory by cp.async, without the zeros that it fills in; also among the
            bytes loaded.
        barriers: of whole blocks, each once a block.
        warp_operations: shuffles, votes, ldmatrix and mma, each once a warp.
        atomics: by each thread.
        tensor_operations: multiplications and additions of mma.
    """

    threads: int = 0
    bytes_loaded: int = 0
    bytes_stored: int = 0
    shared_bytes_loaded: int = 0
    shared_bytes_stored: int = 0
    bytes_copied: int = 0
    barriers: int = 0
    warp_operations: int = 0
    atomics: int = 0
    tensor_operations: int = 0


def total(several: Iterable[Counts]) -> Counts:
    """The sum of the counts of several launches."""
    sums = [sum(values) for values in zip(*map(astuple, several), strict=True)]
    return Counts(*sums)
