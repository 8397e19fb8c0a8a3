"""Pooling on CUDA: the launches of pool2d.cu, which says how the kernels work.

- `reference` passes over the whole output once a tap;
- `rows` reads each window once, 16 bytes a thread where channels and alignment allow it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..cuda.buffers import channels_last, empty_channels_last, pixel_distance, vector_width
from ..cuda.dtypes import REAL, WIDEST, refuses_other_dtypes
from ..cuda.launch import CudaKernel, CudaSource, struct
from . import (
    adaptive_average_forward,
    adaptive_average_input_gradient,
    average_forward,
    average_input_gradient,
    max_forward,
    max_gather,
    max_input_gradient,
    max_values,
)
from .problem import AdaptiveAveragePool2dProblem, Pool2dProblem
from .reference import AverageProblem, refuses_dilation

INDEX = {"uint8": "unsigned char", "uint16": "unsigned short", "int32": "int"}
MOST_THREADS = 256

SOURCE = CudaSource(
    "pool2d/pool2d.cu",
    REAL=tuple(REAL.values()),
    INDEX=tuple(INDEX.values()),
    VECTOR=("1", "2", "4", "8"),
    # Sixteen bytes or one element; windows of more than 256 elements are too rare for a fast kernel of their own.
    unless=lambda d: d["VECTOR"] not in ("1", WIDEST[d["REAL"]] if d["INDEX"] == INDEX["uint8"] else "1"),
)


def _refuses_average(problem: AverageProblem) -> str | None:
    return refuses_dilation(problem) or refuses_other_dtypes(problem)


def _axis(problem: AverageProblem, axis: int) -> tuple[int, ...]:
    """`Axis` of pool2d.cu."""
    size, outputs = problem.shape[2 + axis], problem.output_size[axis]
    if isinstance(problem, AdaptiveAveragePool2dProblem):
        return size, outputs, 1, 1, 0, 1, 1
    window = problem.kernel_size[axis], problem.stride[axis], problem.padding[axis], problem.dilation[axis]
    return size, outputs, *window, 0


def _pooling(problem: AverageProblem) -> np.ndarray:
    """`Pooling` of pool2d.cu."""
    numbers = (*_axis(problem, 0), *_axis(problem, 1), problem.shape[1])
    counted = getattr(problem, "count_include_pad", True)
    return struct(*numbers, int(counted), problem.divisor_override or 0)


def _vector(problem: AverageProblem, *arrays: Array) -> int:
    """Channels a thread."""
    one_by_one = isinstance(problem, Pool2dProblem) and problem.index_dtype != "uint8"
    return 1 if one_by_one else vector_width(problem.shape[1], *arrays)


def _kernel(name: str, problem: Any, vector: int) -> CudaKernel:
    index = INDEX[problem.index_dtype] if name.startswith("max") else INDEX["uint8"]  # which averages do not use
    return SOURCE.kernel(name, REAL=REAL[problem.dtype], INDEX=index, VECTOR=vector)


def _threads(pixels: int, channels: int, vector: int) -> tuple[int]:
    """Whole warps for a row of pixels, as many as there is work for."""
    return (min(MOST_THREADS, -(-pixels * (channels // vector) // 32) * 32),)


@max_forward.variant("rows", device="cuda", priority=10, refuses=refuses_other_dtypes)
def max_forward_rows(problem: Pool2dProblem, x: Array) -> tuple[Array, Array]:
    n, c, p, q = problem.output_shape
    x = channels_last(x)
    y = empty_channels_last(problem.output_shape, x.dtype, like=x)
    indices = empty_channels_last(problem.output_shape, problem.index_dtype, like=x)
    vector = _vector(problem, x, y, indices)
    launch = _kernel("max_forward", problem, vector)
    launch((n * p,), _threads(q, c, vector), _pooling(problem), x, np.int32(pixel_distance(x)), y, indices)
    return y, indices


@max_values.variant("rows", device="cuda", priority=10, refuses=refuses_other_dtypes)
def max_values_rows(problem: Pool2dProblem, x: Array) -> Array:
    n, c, p, q = problem.output_shape
    x = channels_last(x)
    y = empty_channels_last(problem.output_shape, x.dtype, like=x)
    vector = _vector(problem, x, y)
    launch = _kernel("max_values", problem, vector)
    launch((n * p,), _threads(q, c, vector), _pooling(problem), x, np.int32(pixel_distance(x)), y)
    return y


@max_input_gradient.variant("rows", device="cuda", priority=10, refuses=refuses_other_dtypes)
def max_input_gradient_rows(problem: Pool2dProblem, gy: Array, indices: Array) -> Array:
    n, c, h, w = problem.shape
    gy, indices = channels_last(gy), channels_last(indices)
    gx = empty_channels_last(problem.shape, gy.dtype, like=gy)
    vector = _vector(problem, gy, indices, gx)
    distances = np.int32(pixel_distance(gy)), np.int32(pixel_distance(indices))
    launch = _kernel("max_input_gradient", problem, vector)
    launch((n * h,), _threads(w, c, vector), _pooling(problem), gy, distances[0], indices, distances[1], gx)
    return gx


@max_gather.variant("rows", device="cuda", priority=10, refuses=refuses_other_dtypes)
def max_gather_rows(problem: Pool2dProblem, x: Array, indices: Array) -> Array:
    n, c, p, q = problem.output_shape
    x, indices = channels_last(x), channels_last(indices)
    y = empty_channels_last(problem.output_shape, x.dtype, like=x)
    vector = _vector(problem, indices, y)
    distances = np.int32(pixel_distance(x)), np.int32(pixel_distance(indices))
    launch = _kernel("max_gather", problem, vector)
    launch((n * p,), _threads(q, c, vector), _pooling(problem), x, distances[0], indices, distances[1], y)
    return y


@adaptive_average_forward.variant("rows", device="cuda", priority=10, refuses=_refuses_average)
@average_forward.variant("rows", device="cuda", priority=10, refuses=_refuses_average)
def average_forward_rows(problem: AverageProblem, x: Array) -> Array:
    n, c, p, q = problem.output_shape
    x = channels_last(x)
    y = empty_channels_last(problem.output_shape, x.dtype, like=x)
    vector = _vector(problem, x, y)
    launch = _kernel("average_forward", problem, vector)
    launch((n * p,), _threads(q, c, vector), _pooling(problem), x, np.int32(pixel_distance(x)), y)
    return y


@adaptive_average_input_gradient.variant("rows", device="cuda", priority=10, refuses=_refuses_average)
@average_input_gradient.variant("rows", device="cuda", priority=10, refuses=_refuses_average)
def average_input_gradient_rows(problem: AverageProblem, gy: Array) -> Array:
    n, c, h, w = problem.shape
    gy = channels_last(gy)
    gx = empty_channels_last(problem.shape, gy.dtype, like=gy)
    vector = _vector(problem, gy, gx)
    launch = _kernel("average_input_gradient", problem, vector)
    launch((n * h,), _threads(w, c, vector), _pooling(problem), gy, np.int32(pixel_distance(gy)), gx)
    return gx
