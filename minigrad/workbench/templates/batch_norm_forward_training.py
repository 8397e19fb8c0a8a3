"""batch_norm_forward_training in Numba, a loop a channel: easy to read, and a start for something faster.

minigrad bench batch_norm_forward_training --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import batch_norm


@numba.njit(parallel=True)
def normalise(x, weight, bias, y, mean, variance, inverse_std, epsilon, relu):  # type: ignore[no-untyped-def]
    """x and y (N * H * W, C): a row a pixel; everything else is (C,)."""
    pixels, channels = x.shape
    for c in numba.prange(channels):
        total = 0.0
        for i in range(pixels):
            total += x[i, c]
        mean[c] = total / pixels
        # From the centred values: the mean of squares less the squared mean would cancel where the mean is large.
        squares = 0.0
        for i in range(pixels):
            squares += (x[i, c] - total / pixels) ** 2
        variance[c] = squares / pixels
        inverse_std[c] = 1 / np.sqrt(squares / pixels + epsilon)
        scale = weight[c] * inverse_std[c]
        for i in range(pixels):
            value = (x[i, c] - mean[c]) * scale + bias[c]
            if relu and value < 0:  # NaN stays NaN
                value = x.dtype.type(0)
            y[i, c] = value


def refuses(problem: batch_norm.BatchNormProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    if problem.dtype not in ("float32", "float64"):
        return f"Numba knows no {problem.dtype}"
    return None if problem.count else "an empty batch has no mean"


@batch_norm.forward_training.variant("mine", device="cpu", refuses=refuses)
def forward(problem: batch_norm.BatchNormProblem, x: Any, weight: Any, bias: Any) -> Any:
    n, c, h, w = problem.shape
    # In training activations lie channels-last already, and nothing is copied here.
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1, c)
    y = np.empty_like(x)
    mean, variance, inverse_std = (np.empty(c, x.dtype) for _ in range(3))
    normalise(x, weight, bias, y, mean, variance, inverse_std, problem.epsilon, problem.relu)
    return y.reshape(n, h, w, c).transpose(0, 3, 1, 2), mean, variance, inverse_std
