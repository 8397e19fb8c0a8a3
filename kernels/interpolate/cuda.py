"""Bilinear interpolation on CUDA: the launches of interpolate.cu, which says how the kernels work.

- `reference` multiplies by matrices that are nearly all zeros;
- `rows` reads four pixels a place, 16 bytes a thread where channels and alignment allow it.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..cuda.buffers import channels_last, empty_channels_last, pixel_distance, uploaded, vector_width
from ..cuda.dtypes import REAL, of_no_use, refuses_other_dtypes
from ..cuda.launch import CudaKernel, CudaSource, struct
from . import forward, input_gradient
from .problem import InterpolateProblem

MOST_THREADS = 256
SOURCE = CudaSource(
    "interpolate/interpolate.cu",
    REAL=tuple(REAL.values()),
    VECTOR=("1", "2", "4", "8"),
    unless=of_no_use,
)


def refuses(problem: InterpolateProblem) -> str | None:
    return refuses_other_dtypes(problem)


def _kernel(name: str, problem: InterpolateProblem, vector: int) -> CudaKernel:
    return SOURCE.kernel(name, REAL=REAL[problem.dtype], VECTOR=vector)


def _threads(pixels: int, channels: int, vector: int) -> tuple[int]:
    """Whole warps for a row of pixels, as many as there is work for."""
    return (min(MOST_THREADS, -(-pixels * (channels // vector) // 32) * 32),)


def _sizes(problem: InterpolateProblem) -> np.ndarray:
    """`Sizes` of interpolate.cu."""
    return struct(*problem.shape[2:], *problem.output_size, problem.shape[1])


def _places(problem: InterpolateProblem, like: Array, backward: bool) -> list[Array]:
    """The tables of both axes on the device of `like`."""
    number = np.float64 if problem.dtype == "float64" else np.float32
    tables = []
    for at in (problem.neighbours(0), problem.neighbours(1)):
        tables += [at.lower, at.fraction.astype(number)]
        tables += [at.first, at.stop] if backward else []
    return [uploaded(table, like) for table in tables]


@forward.variant("rows", device="cuda", priority=10, refuses=refuses)
def forward_rows(problem: InterpolateProblem, x: Array) -> Array:
    n, c, p, q = problem.output_shape
    x = channels_last(x)
    y = empty_channels_last(problem.output_shape, x.dtype, like=x)
    vector = vector_width(c, x, y)
    places = _places(problem, x, backward=False)
    launch = _kernel("forward", problem, vector)
    launch((n * p,), _threads(q, c, vector), _sizes(problem), x, np.int32(pixel_distance(x)), *places, y)
    return y


@input_gradient.variant("rows", device="cuda", priority=10, refuses=refuses)
def input_gradient_rows(problem: InterpolateProblem, gy: Array) -> Array:
    n, c, h, w = problem.shape
    gy = channels_last(gy)
    gx = empty_channels_last(problem.shape, gy.dtype, like=gy)
    vector = vector_width(c, gy, gx)
    places = _places(problem, gy, backward=True)
    launch = _kernel("input_gradient", problem, vector)
    launch((n * h,), _threads(w, c, vector), _sizes(problem), gy, np.int32(pixel_distance(gy)), *places, gx)
    return gx
