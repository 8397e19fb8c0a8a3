"""batch_norm_forward_evaluation in Numba, a loop a pixel: easy to read, and a start for something faster.

minigrad bench batch_norm_forward_evaluation --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import batch_norm


@numba.njit(parallel=True)
def normalise(x, scale, bias, mean, y, relu):  # type: ignore[no-untyped-def]
    """x and y (N * H * W, C): a row a pixel; everything else is (C,)."""
    pixels, channels = x.shape
    for i in numba.prange(pixels):
        for c in range(channels):
            value = (x[i, c] - mean[c]) * scale[c] + bias[c]
            if relu and value < 0:  # NaN stays NaN
                value = x.dtype.type(0)
            y[i, c] = value


def refuses(problem: batch_norm.BatchNormProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    return None if problem.dtype in ("float32", "float64") else f"Numba knows no {problem.dtype}"


@batch_norm.forward_evaluation.variant("mine", device="cpu", refuses=refuses)
def forward(problem: batch_norm.BatchNormProblem, x: Any, weight: Any, bias: Any, mean: Any, variance: Any) -> Any:
    n, c, h, w = problem.shape
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1, c)
    y = np.empty_like(x)
    scale = weight / np.sqrt(variance + x.dtype.type(problem.epsilon))
    normalise(x, scale, bias, mean, y, problem.relu)
    return y.reshape(n, h, w, c).transpose(0, 3, 1, 2)
