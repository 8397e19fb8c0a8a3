"""The definition of right: the words of all elements at once."""

from __future__ import annotations

from .. import philox
from ..arrays import Array, array_module
from . import forward
from .problem import DropoutProblem


@forward.variant("reference", device="any")
def forward_reference(
    problem: DropoutProblem, x: Array, seed: int, offset: int, base: Array | None = None
) -> Array:
    xp = array_module(x)
    offset += 0 if base is None else int(base)
    words = philox.words(seed, offset, problem.blocks, xp).reshape(-1)[: problem.size]
    factors = (words >= problem.threshold) * x.dtype.type(problem.scale)
    return x * factors.astype(x.dtype).reshape(x.shape)
