"""Local response normalisation on CUDA: the launches of local_response_norm.cu, which says how the kernels work.

- `reference` makes a temporary array a step;
- `pixels` makes none: a block brings whole pixels into shared memory. Pixels that do not fit there it refuses.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..cuda.buffers import channels_last, empty_channels_last, pixel_distance
from ..cuda.dtypes import REAL, refuses_other_dtypes
from ..cuda.launch import CudaKernel, CudaSource, struct
from . import forward, input_gradient
from .problem import LocalResponseNormProblem

THREADS = 256
ELEMENTS_A_BLOCK = 1024  # at most, but for pixels that alone have more
MOST_SHARED = 48 << 10  # bytes; what every GPU has without asking
SOURCE = CudaSource("local_response_norm/local_response_norm.cu", REAL=tuple(REAL.values()))


def refuses(problem: LocalResponseNormProblem) -> str | None:
    if obstacle := refuses_other_dtypes(problem):
        return obstacle
    most = MOST_SHARED // (3 * _number(problem).itemsize)
    if problem.shape[1] > most:
        return f"a pixel of {problem.shape[1]} channels does not fit into shared memory (up to {most} do)"
    return None


def _number(problem: LocalResponseNormProblem) -> np.dtype:
    """The type to compute in."""
    return np.dtype(np.float64 if problem.dtype == "float64" else np.float32)


def _launch(name: str, problem: LocalResponseNormProblem, *arrays: Array, kept: int) -> None:
    """Launch a kernel on channels-last `arrays`, the last one the result; it shares `kept` numbers an element."""
    n, c, h, w = problem.shape
    kernel: CudaKernel = SOURCE.kernel(name, REAL=REAL[problem.dtype])
    pixels, pixels_a_block = n * h * w, max(1, ELEMENTS_A_BLOCK // c)
    number = _number(problem)
    *inputs, result = arrays
    rows: list[Any] = [item for array in inputs for item in (array, np.int32(pixel_distance(array)))]
    constants = (number.type(value) for value in (problem.alpha / problem.size, problem.beta, problem.k))
    kernel(
        (-(-pixels // pixels_a_block),),
        (THREADS,),
        *(struct(c, problem.size, problem.before), *rows, np.int64(pixels), np.int32(pixels_a_block)),
        *(*constants, result),
        shared_bytes=kept * pixels_a_block * c * number.itemsize,
    )


@forward.variant("pixels", device="cuda", priority=10, refuses=refuses)
def forward_pixels(problem: LocalResponseNormProblem, x: Array) -> Array:
    y = empty_channels_last(problem.shape, x.dtype, like=x)
    _launch("forward", problem, channels_last(x), y, kept=1)
    return y


@input_gradient.variant("pixels", device="cuda", priority=10, refuses=refuses)
def input_gradient_pixels(problem: LocalResponseNormProblem, gy: Array, x: Array) -> Array:
    gx = empty_channels_last(problem.shape, x.dtype, like=x)
    _launch("input_gradient", problem, channels_last(gy), channels_last(x), gx, kept=3)
    return gx
