"""The definition of right: the array library's own concatenation."""

from __future__ import annotations

from ..arrays import Array, array_module
from . import forward
from .problem import ConcatProblem


@forward.variant("reference", device="any")
def forward_reference(problem: ConcatProblem, arrays: tuple[Array, ...]) -> Array:
    return array_module(arrays[0]).concatenate(arrays, problem.axis)
