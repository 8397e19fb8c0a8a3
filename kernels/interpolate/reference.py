"""The definition of right: a small matrix of weights on either side of the image.

Images of 16 bits are computed with in float32, and the result is rounded once.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array, array_module
from . import forward, input_gradient
from .problem import InterpolateProblem


def _weights(problem: InterpolateProblem, axis: int) -> np.ndarray:
    """(m, n): the weights with which m places read n pixels."""
    n, m = problem.shape[2 + axis], problem.output_size[axis]
    at = problem.neighbours(axis)
    weights = np.zeros((m, n))
    np.add.at(weights, (np.arange(m), at.lower), 1.0 - at.fraction)
    np.add.at(weights, (np.arange(m), np.minimum(at.lower + 1, n - 1)), at.fraction)
    return weights


def _product(equation: str, problem: InterpolateProblem, array: Array) -> Array:
    xp, dtype = array_module(array), np.promote_types(array.dtype, np.float32)
    down, across = (xp.asarray(_weights(problem, axis).astype(dtype)) for axis in (0, 1))
    return xp.einsum(equation, down, array.astype(dtype), across, optimize=True).astype(array.dtype)


@forward.variant("reference", device="any")
def forward_reference(problem: InterpolateProblem, x: Array) -> Array:
    return _product("ph,nchw,qw->ncpq", problem, x)


@input_gradient.variant("reference", device="any")
def input_gradient_reference(problem: InterpolateProblem, gy: Array) -> Array:
    return _product("ph,ncpq,qw->nchw", problem, gy)
