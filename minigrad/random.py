"""Random numbers from counters.

A generator is a seed and a count of what was drawn, nothing else: two integers that a checkpoint
stores and that mean the same on every device (Salmon et al., "Parallel random numbers: as easy
as 1, 2, 3", SC 2011).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .creation import Shape, known_dtype, sizes
from .kernels.arrays import Array
from .kernels.cpu.recording import spoil
from .kernels.cuda.graph import is_capturing
from .kernels.errors import DTypeError, MinigradError, ShapeError
from .tensor import Tensor, is_floating


class Generator:
    """A stream of random numbers: `seed` names the stream, `offset` how far it has been used.

    Raises:
        MinigradError: if the seed is not an integer from 0 to 2**64 - 1, or the offset is negative.
    """

    def __init__(self, seed: int = 0, offset: int = 0) -> None:
        if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
            raise MinigradError(f"a seed is an integer from 0 to 2**64 - 1, got {seed!r}")
        if not isinstance(offset, int | np.integer) or offset < 0:
            raise MinigradError(f"an offset is an integer from 0 on, got {offset!r}")
        self.seed, self.offset = int(seed), int(offset)
        self._counted_from: tuple[int, Array] | None = None

    def reserve(self, blocks: int) -> int:
        """Take the next `blocks` blocks of four 32-bit words; gives the number of the first."""
        first = self.offset
        self.offset += blocks
        return first

    def draw(self, blocks: int) -> tuple[int, Array | None]:
        """As `reserve`, and the number on a device that the kernel has to add to the first block's.

        Raises:
            MinigradError: where a graph is captured that would draw the same numbers at each launch.
        """
        first = self.reserve(blocks)
        if self._counted_from is None:
            spoil("random numbers are drawn from a generator that nobody counts for it")
            if is_capturing():
                raise MinigradError(
                    "random numbers are drawn while a graph is captured, from a generator that the graph does not "
                    "know: each launch would draw the same ones"
                )
            return first, None
        origin, place = self._counted_from
        return first - origin, place

    @contextmanager
    def counted_from(self, place: Array) -> Iterator[None]:
        """Inside this `with` block `draw` counts from where the stream stands now, and `place` says where that is.

        `place` is a uint64 number on a device. A graph that is captured inside goes on from any place of the
        stream that is written there before its launch.
        """
        self._counted_from = self.offset, place
        try:
            yield
        finally:
            self._counted_from = None

    def numpy(self, size: int) -> np.random.Generator:
        """A NumPy generator for `size` numbers, at a place of the stream that nothing else uses."""
        spoil("random numbers are drawn by NumPy")
        first = self.reserve(max(1, size))
        return np.random.Generator(np.random.Philox(key=self.seed, counter=first << 128))

    def state_dict(self) -> dict[str, int]:
        """The two numbers that a checkpoint needs."""
        return {"seed": self.seed, "offset": self.offset}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            MinigradError: if an entry is missing, or is not a seed and an offset.
        """
        if not {"seed", "offset"} <= state.keys():
            raise MinigradError(f"a generator's state has seed and offset, got {', '.join(state) or 'nothing'}")
        restored = Generator(state["seed"], state["offset"])
        self.seed, self.offset = restored.seed, restored.offset


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default stream anew at `seed`; gives its generator."""
    default_generator.load_state_dict(Generator(seed).state_dict())
    return default_generator


def _real(dtype: Any, name: str) -> np.dtype:
    dtype = known_dtype(dtype, name)
    if not is_floating(dtype):
        raise DTypeError(f"{name}: the dtype must be real, not {dtype}; use randint for integers")
    return dtype


def rand(
    shape: Shape, dtype: Any = np.float32, requires_grad: bool = False, generator: Generator | None = None
) -> Tensor:
    """Uniform numbers in [0, 1), of a real dtype; `shape` and errors as in `mg.full`."""
    dtype, shape = _real(dtype, "rand"), sizes(shape, "rand")
    numbers = (generator or default_generator).numpy(math.prod(shape)).random(shape)
    # Cut to the digits that the dtype has: rounding would make a 1 of the largest ones.
    steps = 1.0 / float(1 - np.nextafter(dtype.type(1), dtype.type(0)))
    return Tensor((np.floor(numbers * steps) / steps).astype(dtype), requires_grad)


def randn(
    shape: Shape, dtype: Any = np.float32, requires_grad: bool = False, generator: Generator | None = None
) -> Tensor:
    """Normal numbers with mean 0 and standard deviation 1, of a real dtype; `shape` and errors as in `mg.full`."""
    dtype, shape = _real(dtype, "randn"), sizes(shape, "randn")
    source = (generator or default_generator).numpy(math.prod(shape))
    return Tensor(source.standard_normal(shape).astype(dtype), requires_grad)


def randint(low: int, high: int, shape: Shape, generator: Generator | None = None) -> Tensor:
    """Integers (int64) from `low` up to, but without, `high`.

    Raises:
        ShapeError: if a size is negative, or there is no integer to choose.
        DTypeError: if a bound is no integer of 64 bits.
    """
    shape = sizes(shape, "randint")
    if not all(isinstance(bound, int | np.integer) and -(2**63) <= bound <= 2**63 for bound in (low, high)):
        raise DTypeError(f"randint: the bounds must be integers that int64 can hold, got {low!r} and {high!r}")
    if high <= low:
        raise ShapeError(f"randint: there is no integer from {low} up to, but without, {high}")
    return Tensor((generator or default_generator).numpy(math.prod(shape)).integers(low, high, shape))
