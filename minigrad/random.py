"""Random numbers from counters.

A generator is a seed and a count of what was drawn, nothing else: two integers that a checkpoint
stores and that mean the same on every device (Salmon et al., "Parallel random numbers: as easy
as 1, 2, 3", SC 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .kernels.errors import MinigradError
from .tensor import Tensor

Shape = int | Sequence[int]


class Generator:
    """A stream of random numbers: `seed` names the stream, `offset` how far it has been used.

    Raises:
        MinigradError: if the seed is not an integer from 0 to 2**64 - 1.
    """

    def __init__(self, seed: int = 0, offset: int = 0) -> None:
        if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
            raise MinigradError(f"a seed is an integer from 0 to 2**64 - 1, got {seed!r}")
        self.seed, self.offset = int(seed), int(offset)

    def reserve(self, blocks: int) -> int:
        """Take the next `blocks` blocks of four 32-bit words; gives the number of the first."""
        first = self.offset
        self.offset += blocks
        return first

    def numpy(self, size: int) -> np.random.Generator:
        """A NumPy generator for `size` numbers, at a place of the stream that nothing else uses."""
        first = self.reserve(max(1, size))
        return np.random.Generator(np.random.Philox(key=self.seed, counter=first << 128))

    def state_dict(self) -> dict[str, int]:
        return {"seed": self.seed, "offset": self.offset}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.seed, self.offset = int(state["seed"]), int(state["offset"])


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default stream anew at `seed`; gives its generator."""
    default_generator.load_state_dict(Generator(seed).state_dict())
    return default_generator


def _shape(shape: Shape) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def rand(
    shape: Shape, dtype: Any = np.float32, requires_grad: bool = False, generator: Generator | None = None
) -> Tensor:
    """Uniform numbers in [0, 1)."""
    shape = _shape(shape)
    source = (generator or default_generator).numpy(int(np.prod(shape)))
    return Tensor(source.random(shape).astype(dtype), requires_grad)


def randn(
    shape: Shape, dtype: Any = np.float32, requires_grad: bool = False, generator: Generator | None = None
) -> Tensor:
    """Normal numbers with mean 0 and standard deviation 1."""
    shape = _shape(shape)
    source = (generator or default_generator).numpy(int(np.prod(shape)))
    return Tensor(source.standard_normal(shape).astype(dtype), requires_grad)


def randint(low: int, high: int, shape: Shape, generator: Generator | None = None) -> Tensor:
    """Integers (int64) from `low` up to, but without, `high`."""
    shape = _shape(shape)
    return Tensor((generator or default_generator).numpy(int(np.prod(shape))).integers(low, high, shape))
