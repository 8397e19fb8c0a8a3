"""average_pool2d_input_gradient in Numba, a loop a window: easy to read, and a start for something faster.

minigrad bench average_pool2d_input_gradient --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import pool2d


@numba.njit(parallel=True)
def spread(gy, gx, kernel, stride, padding, count_include_pad, override):  # type: ignore[no-untyped-def]
    """gy (N, P, Q, C) and gx (N, H, W, C) channels-last; windows overlap, so a thread takes a whole image."""
    _, rows, columns, channels = gy.shape
    images, height, width, _ = gx.shape
    for n in numba.prange(images):
        gx[n] = 0
        for p in range(rows):
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
                for h in range(max(top, 0), min(bottom, height)):
                    for w in range(max(left, 0), min(right, width)):
                        for c in range(channels):
                            gx[n, h, w, c] += gy[n, p, q, c] / divisor


def refuses(problem: pool2d.Pool2dProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    return None if problem.dtype in ("float32", "float64") else f"Numba knows no {problem.dtype}"


@pool2d.average_input_gradient.variant("mine", device="cpu", refuses=refuses)
def input_gradient(problem: pool2d.Pool2dProblem, gy: Any) -> Any:
    n, c, h, w = problem.shape
    gx = np.empty((n, h, w, c), gy.dtype)
    gy = np.ascontiguousarray(gy.transpose(0, 2, 3, 1))
    window = problem.kernel_size, problem.stride, problem.padding
    spread(gy, gx, *window, problem.count_include_pad, problem.divisor_override or 0)
    return gx.transpose(0, 3, 1, 2)
