"""How a session measures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minigrad.kernels.variant import Variant

from .check import tolerance_of


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        device, dtype: of the arrays.
        variants: the names of those to measure; empty for all.
        seconds: for which each variant of each layer is timed, what lies between the calls with it.
        warm: leave the arguments in the cache.
        seed: of all random arguments and odd problems.
        odd: on how many random odd problems each variant is tried first.
        tolerance: relative norm of the error that is allowed; None for that of the dtype.
        with_pytorch: time PyTorch, too, where it is installed.
        hopeless: how many times as long as the fastest a variant may take in the first two rounds to be timed on.
        checked_images: a batch of so many is compared with the oracle in place of the layer's, which is then only
            timed; quicker by far where batches are large. 0: all of them, while they are timed, too.
    """

    device: str = "cpu"
    dtype: str = "float32"
    variants: tuple[str, ...] = ()
    seconds: float = 0.3
    warm: bool = False
    seed: int = 0
    odd: int = 6
    tolerance: float | None = None
    with_pytorch: bool = True
    hopeless: float = math.inf
    checked_images: int = 0

    def generator(self, *words: object) -> np.random.Generator:
        """Random numbers of the seed's for one purpose, the same whatever else is measured."""
        return np.random.default_rng([self.seed, *" ".join(map(str, words)).encode()])

    def allowed(self, variant: Variant) -> float:
        """The tolerance that holds for a variant."""
        return tolerance_of(variant.name, self.dtype) if self.tolerance is None else self.tolerance
