"""matmul in Numba, a loop a row: easy to read, and a start for something faster.

minigrad bench matmul --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import matmul


@numba.njit(parallel=True)
def multiply(left, right, y):  # type: ignore[no-untyped-def]
    """left (M, K), right (K, N), y (M, N): a row of y is a sum of rows of right."""
    rows, depth = left.shape
    columns = right.shape[1]
    for m in numba.prange(rows):
        y[m] = 0
        for k in range(depth):
            for n in range(columns):
                y[m, n] += left[m, k] * right[k, n]


def refuses(problem: matmul.MatmulProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    if problem.dtype not in ("float32", "float64"):
        return f"Numba knows no {problem.dtype}"
    return None if len(problem.left) == len(problem.right) == 2 else "it multiplies no stacks of matrices"


@matmul.matmul.variant("mine", device="cpu", refuses=refuses)
def product(problem: matmul.MatmulProblem, left: Any, right: Any) -> Any:
    y = np.empty(problem.output_shape, left.dtype)
    multiply(np.ascontiguousarray(left), np.ascontiguousarray(right), y)
    return y
