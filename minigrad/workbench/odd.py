"""Small problems with awkward shapes: odd sizes, single rows, channels that fit no vector, every parameter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from minigrad.kernels.errors import ShapeError

from .contracts import Contract


def odd_problems(contract: Contract, dtype: str, generator: np.random.Generator, count: int) -> Iterator[Any]:
    """`count` random problems for an operation."""
    while count:
        try:
            problem = contract.odd(generator)
        except ShapeError:  # a window that does not fit: draw another
            continue
        count -= 1
        yield replace(problem, dtype=dtype)
