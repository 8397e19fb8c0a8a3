"""The shape of a sum, as one hashable value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AccumulateProblem:
    """Two arrays of `shape` and `dtype` that are added up."""

    shape: tuple[int, ...]
    dtype: str = "float32"
