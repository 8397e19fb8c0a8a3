"""average_pool2d_forward in Numba, a loop a window: easy to read, and a start for something faster.

minigrad bench average_pool2d_forward --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import pool2d


@numba.njit(parallel=True)
def average(x, y, kernel, stride, padding, count_include_pad, override):  # type: ignore[no-untyped-def]
    """x (N, H, W, C) and y (N, P, Q, C) channels-last; what ceil_mode adds beyond the padding does not count."""
    images, height, width, channels = x.shape
    _, rows, columns, _ = y.shape
    for row in numba.prange(images * rows):
        n, p = row // rows, row % rows
        top = p * stride[0] - padding[0]
        bottom = min(top + kernel[0], height + padding[0])
        for q in range(columns):
            left = q * stride[1] - padding[1]
            right = min(left + kernel[1], width + padding[1])
            divisor = (bottom - top) * (right - left)
            if not count_include_pad:
                divisor = (min(bottom, height) - max(top, 0)) * (min(right, width) - max(left, 0))
            if override:
                divisor = override
            for c in range(channels):
                total = 0.0
                for h in range(max(top, 0), min(bottom, height)):
                    for w in range(max(left, 0), min(right, width)):
                        total += x[n, h, w, c]
                y[n, p, q, c] = total / divisor


def refuses(problem: pool2d.Pool2dProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    return None if problem.dtype in ("float32", "float64") else f"Numba knows no {problem.dtype}"


@pool2d.average_forward.variant("mine", device="cpu", refuses=refuses)
def forward(problem: pool2d.Pool2dProblem, x: Any) -> Any:
    n, c, p, q = problem.output_shape
    y = np.empty((n, p, q, c), x.dtype)
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    window = problem.kernel_size, problem.stride, problem.padding
    average(x, y, *window, problem.count_include_pad, problem.divisor_override or 0)
    return y.transpose(0, 3, 1, 2)
