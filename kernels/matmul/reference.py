"""The product of the array's own library: BLAS on the CPU, and the definition of right in float64."""

from __future__ import annotations

from ..arrays import Array, array_module
from . import matmul
from .problem import MatmulProblem


@matmul.variant("reference", device="any")
def matmul_reference(problem: MatmulProblem, left: Array, right: Array) -> Array:
    product = array_module(left).matmul(left, right)
    # NumPy sums products of bfloat16 in float32, and leaves them there.
    return product.astype(left.dtype, copy=False)
