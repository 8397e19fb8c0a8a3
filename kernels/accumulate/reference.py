"""The definition of right: the library's own addition."""

from __future__ import annotations

from ..arrays import Array
from . import add, add_to
from .problem import AccumulateProblem


@add.variant("reference", device="any")
def add_reference(problem: AccumulateProblem, a: Array, b: Array) -> Array:
    return a + b


@add_to.variant("reference", device="any")
def add_to_reference(problem: AccumulateProblem, a: Array, b: Array) -> None:
    a[...] += b
