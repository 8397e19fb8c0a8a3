"""max_pool2d_forward in Numba, a loop a window: easy to read, and a start for something faster.

minigrad bench max_pool2d_forward --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import pool2d


@numba.njit(parallel=True)
def largest(x, y, indices, kernel, stride, padding, dilation):  # type: ignore[no-untyped-def]
    """x (N, H, W, C), y and indices (N, P, Q, C) channels-last; of equal elements the first, of NaN the last."""
    images, height, width, channels = x.shape
    _, rows, columns, _ = y.shape
    for row in numba.prange(images * rows):
        n, p = row // rows, row % rows
        for q in range(columns):
            for c in range(channels):
                best, place = x.dtype.type(-np.inf), -1
                for r in range(kernel[0]):
                    h = p * stride[0] - padding[0] + r * dilation[0]
                    if h < 0 or h >= height:
                        continue
                    for s in range(kernel[1]):
                        w = q * stride[1] - padding[1] + s * dilation[1]
                        if w < 0 or w >= width:
                            continue
                        value = x[n, h, w, c]
                        if place < 0 or value > best or value != value:
                            best, place = value, r * kernel[1] + s
                y[n, p, q, c], indices[n, p, q, c] = best, place


def refuses(problem: pool2d.Pool2dProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    return None if problem.dtype in ("float32", "float64") else f"Numba knows no {problem.dtype}"


@pool2d.max_forward.variant("mine", device="cpu", refuses=refuses)
def max_forward(problem: pool2d.Pool2dProblem, x: Any) -> Any:
    n, c, p, q = problem.output_shape
    y, indices = np.empty((n, p, q, c), x.dtype), np.empty((n, p, q, c), problem.index_dtype)
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    largest(x, y, indices, problem.kernel_size, problem.stride, problem.padding, problem.dilation)
    return y.transpose(0, 3, 1, 2), indices.transpose(0, 3, 1, 2)
