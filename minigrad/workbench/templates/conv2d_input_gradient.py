"""conv2d_input_gradient in Numba, a loop a sum: easy to read, and a start for something faster.

minigrad bench conv2d_input_gradient --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import conv2d


@numba.njit(parallel=True)
def spread(gy, weight, gx, stride, padding, dilation, groups):  # type: ignore[no-untyped-def]
    """gy (N, P, Q, K) and gx (N, H, W, C) channels-last, weight (K, C / groups, R, S)."""
    images, height, width, channels = gx.shape
    _, rows, columns, filters = gy.shape
    _, depth, filter_height, filter_width = weight.shape
    for row in numba.prange(images * height):
        n, h = row // height, row % height
        for w in range(width):
            for c in range(channels):
                first = c // depth * (filters // groups)
                total = 0.0
                for r in range(filter_height):
                    p = h + padding[0] - r * dilation[0]  # times the stride
                    if p < 0 or p % stride[0] or p // stride[0] >= rows:
                        continue
                    for s in range(filter_width):
                        q = w + padding[1] - s * dilation[1]
                        if q < 0 or q % stride[1] or q // stride[1] >= columns:
                            continue
                        for k in range(first, first + filters // groups):
                            total += gy[n, p // stride[0], q // stride[1], k] * weight[k, c % depth, r, s]
                gx[n, h, w, c] = total


def refuses(problem: conv2d.Conv2dProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    return None if problem.dtype in ("float32", "float64") else f"Numba knows no {problem.dtype}"


@conv2d.input_gradient.variant("mine", device="cpu", refuses=refuses)
def input_gradient(problem: conv2d.Conv2dProblem, gy: Any, weight: Any) -> Any:
    n, c, h, w = problem.input_shape
    gx = np.empty((n, h, w, c), gy.dtype)
    gy, weight = np.ascontiguousarray(gy.transpose(0, 2, 3, 1)), np.ascontiguousarray(weight)
    spread(gy, weight, gx, problem.stride, problem.padding, problem.dilation, problem.groups)
    return gx.transpose(0, 3, 1, 2)
