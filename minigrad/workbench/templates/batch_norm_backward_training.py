"""batch_norm_backward_training in Numba, a loop a channel: easy to read, and a start for something faster.

minigrad bench batch_norm_backward_training --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import batch_norm


@numba.njit(parallel=True)
def differentiate(gy, x, weight, bias, mean, inverse_std, gx, gweight, gbias, relu):  # type: ignore[no-untyped-def]
    """gy, x and gx (N * H * W, C): a row a pixel; everything else is (C,). gx holds the cut gy in between."""
    pixels, channels = x.shape
    for c in numba.prange(channels):
        scale = weight[c] * inverse_std[c]
        total, weighted = 0.0, 0.0
        for i in range(pixels):
            g = gy[i, c]
            if relu and (x[i, c] - mean[c]) * scale + bias[c] <= 0:  # where ReLU cut y, which is computed again
                g = x.dtype.type(0)
            gx[i, c] = g
            total += g
            weighted += g * (x[i, c] - mean[c]) * inverse_std[c]
        gbias[c], gweight[c] = total, weighted
        for i in range(pixels):
            normalised = (x[i, c] - mean[c]) * inverse_std[c]
            gx[i, c] = scale * (gx[i, c] - (total + normalised * weighted) / pixels)


def refuses(problem: batch_norm.BatchNormProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    if problem.dtype not in ("float32", "float64"):
        return f"Numba knows no {problem.dtype}"
    return None if problem.count else "an empty batch has no mean"


@batch_norm.backward_training.variant("mine", device="cpu", refuses=refuses)
def backward(
    problem: batch_norm.BatchNormProblem, gy: Any, x: Any, weight: Any, bias: Any, mean: Any, inverse_std: Any
) -> Any:
    n, c, h, w = problem.shape
    gy, x = (np.ascontiguousarray(array.transpose(0, 2, 3, 1)).reshape(-1, c) for array in (gy, x))
    gx, gweight, gbias = np.empty_like(x), np.empty(c, x.dtype), np.empty(c, x.dtype)
    differentiate(gy, x, weight, bias, mean, inverse_std, gx, gweight, gbias, problem.relu)
    return gx.reshape(n, h, w, c).transpose(0, 3, 1, 2), gweight, gbias
