"""max_pool2d_input_gradient in Numba, a loop a window: easy to read, and a start for something faster.

minigrad bench max_pool2d_input_gradient --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import pool2d


@numba.njit(parallel=True)
def hand_back(gy, indices, gx, kernel, stride, padding, dilation):  # type: ignore[no-untyped-def]
    """gy and indices (N, P, Q, C) and gx (N, H, W, C) channels-last; windows overlap: a thread takes an image."""
    images, rows, columns, channels = gy.shape
    for n in numba.prange(images):
        gx[n] = 0
        for p in range(rows):
            for q in range(columns):
                for c in range(channels):
                    place = indices[n, p, q, c]
                    h = p * stride[0] - padding[0] + place // kernel[1] * dilation[0]
                    w = q * stride[1] - padding[1] + place % kernel[1] * dilation[1]
                    gx[n, h, w, c] += gy[n, p, q, c]


def refuses(problem: pool2d.Pool2dProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    return None if problem.dtype in ("float32", "float64") else f"Numba knows no {problem.dtype}"


@pool2d.max_input_gradient.variant("mine", device="cpu", refuses=refuses)
def input_gradient(problem: pool2d.Pool2dProblem, gy: Any, indices: Any) -> Any:
    n, c, h, w = problem.shape
    gx = np.empty((n, h, w, c), gy.dtype)
    gy, indices = (np.ascontiguousarray(array.transpose(0, 2, 3, 1)) for array in (gy, indices))
    hand_back(gy, indices, gx, problem.kernel_size, problem.stride, problem.padding, problem.dilation)
    return gx.transpose(0, 3, 1, 2)
