"""conv2d_forward in Numba, a loop a sum: easy to read, and a start for something faster.

minigrad bench conv2d_forward --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import conv2d


@numba.njit(parallel=True)
def convolve(x, weight, y, stride, padding, dilation, groups):  # type: ignore[no-untyped-def]
    """x (N, H, W, C) and y (N, P, Q, K) channels-last, weight (K, C / groups, R, S)."""
    images, height, width, _ = x.shape
    _, rows, columns, filters = y.shape
    _, depth, filter_height, filter_width = weight.shape
    for row in numba.prange(images * rows):
        n, p = row // rows, row % rows
        for q in range(columns):
            for k in range(filters):
                first = k // (filters // groups) * depth
                total = 0.0
                for r in range(filter_height):
                    h = p * stride[0] - padding[0] + r * dilation[0]
                    if h < 0 or h >= height:
                        continue
                    for s in range(filter_width):
                        w = q * stride[1] - padding[1] + s * dilation[1]
                        if w < 0 or w >= width:
                            continue
                        for c in range(depth):
                            total += x[n, h, w, first + c] * weight[k, c, r, s]
                y[n, p, q, k] = total


def refuses(problem: conv2d.Conv2dProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    return None if problem.dtype in ("float32", "float64") else f"Numba knows no {problem.dtype}"


@conv2d.forward.variant("mine", device="cpu", refuses=refuses)
def forward(problem: conv2d.Conv2dProblem, x: Any, weight: Any, bias: Any) -> Any:
    n, k, p, q = problem.output_shape
    y = np.empty((n, p, q, k), x.dtype)
    # In training activations lie channels-last already, and nothing is copied here.
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    weight = np.ascontiguousarray(weight)
    convolve(x, weight, y, problem.stride, problem.padding, problem.dilation, problem.groups)
    if bias is not None:
        y += bias
    return y.transpose(0, 3, 1, 2)
