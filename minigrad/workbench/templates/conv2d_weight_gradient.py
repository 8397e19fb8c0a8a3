"""conv2d_weight_gradient in Numba, a loop a sum: easy to read, and a start for something faster.

minigrad bench conv2d_weight_gradient --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import conv2d


@numba.njit(parallel=True)
def correlate(x, gy, gweight, stride, padding, dilation, groups):  # type: ignore[no-untyped-def]
    """x (N, H, W, C) and gy (N, P, Q, K) channels-last, gweight (K, C / groups, R, S)."""
    images, height, width, _ = x.shape
    _, rows, columns, _ = gy.shape
    filters, depth, filter_height, filter_width = gweight.shape
    for k in numba.prange(filters):
        first = k // (filters // groups) * depth
        for r in range(filter_height):
            for s in range(filter_width):
                for c in range(depth):
                    total = 0.0
                    for n in range(images):
                        for p in range(rows):
                            h = p * stride[0] - padding[0] + r * dilation[0]
                            if h < 0 or h >= height:
                                continue
                            for q in range(columns):
                                w = q * stride[1] - padding[1] + s * dilation[1]
                                if 0 <= w < width:
                                    total += x[n, h, w, first + c] * gy[n, p, q, k]
                    gweight[k, c, r, s] = total


def refuses(problem: conv2d.Conv2dProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    return None if problem.dtype in ("float32", "float64") else f"Numba knows no {problem.dtype}"


@conv2d.weight_gradient.variant("mine", device="cpu", refuses=refuses)
def weight_gradient(problem: conv2d.Conv2dProblem, x: Any, gy: Any) -> Any:
    gweight = np.empty(problem.weight_shape, x.dtype)
    x, gy = (np.ascontiguousarray(array.transpose(0, 2, 3, 1)) for array in (x, gy))
    correlate(x, gy, gweight, problem.stride, problem.padding, problem.dilation, problem.groups)
    return gweight
