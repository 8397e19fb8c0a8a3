"""Convolution on CUDA for reading: the launches of direct.cu, one thread an element of the result."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..cuda.buffers import channels_last, contiguous, empty, empty_channels_last, pixel_distance
from ..cuda.dtypes import REAL, refuses_other_dtypes
from ..cuda.launch import CudaSource, struct
from . import forward, forward_relu, input_gradient, weight_gradient
from .geometry import Geometry, forward_geometry, transposed_geometry
from .output import result
from .problem import Conv2dProblem

THREADS = 256

SOURCE = CudaSource("conv2d/direct.cu", REAL=tuple(REAL.values()))


def _gather(geometry: Geometry, images: int, groups: int, sources: int, targets: int) -> np.ndarray:
    """`Gather` of direct.cu; `geometry` has each pair of numbers for rows and columns."""
    return struct(*geometry[0::2], *geometry[1::2], images, groups, sources, targets)


def _blocks(elements: int) -> tuple[int]:
    return (-(-elements // THREADS),)


def _run(
    problem: Conv2dProblem,
    geometry: Geometry,
    source: Array,
    weight: Array,
    strides: tuple[int, int, int, int, int],
    bias: Array | None,
    target: Array,
    relu: bool,
) -> Array:
    source = channels_last(source)
    groups = problem.groups
    gather = _gather(geometry, problem.batch, groups, source.shape[1] // groups, target.shape[1] // groups)
    SOURCE.kernel("gather", REAL=REAL[problem.dtype])(
        _blocks(target.size), (THREADS,), gather, source, np.int32(pixel_distance(source)), weight,
        struct(*strides), bias, target, np.int32(pixel_distance(target)), np.int32(relu),
    )  # fmt: skip
    return target


def _forward(
    problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None, out: Array | None, relu: bool
) -> Array:
    k, c, r, s = problem.weight_shape
    strides = (0, k // problem.groups * c * r * s, 1, r * s, c * r * s)
    y = result(problem.output_shape, x, out)
    weight, bias = contiguous(weight), None if bias is None else contiguous(bias)
    return _run(problem, forward_geometry(problem), x, weight, strides, bias, y, relu)


@forward.variant("cuda_direct", device="cuda", refuses=refuses_other_dtypes)
def forward_direct(
    problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None, out: Array | None = None
) -> Array:
    return _forward(problem, x, weight, bias, out, relu=False)


@forward_relu.variant("cuda_direct", device="cuda", refuses=refuses_other_dtypes)
def forward_relu_direct(
    problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None, out: Array | None = None
) -> Array:
    return _forward(problem, x, weight, bias, out, relu=True)


@input_gradient.variant("cuda_direct", device="cuda", refuses=refuses_other_dtypes)
def input_gradient_direct(problem: Conv2dProblem, gy: Array, weight: Array) -> Array:
    k, c, r, s = problem.weight_shape
    strides = (r * s - 1, k // problem.groups * c * r * s, -1, c * r * s, r * s)
    gx = empty_channels_last(problem.input_shape, gy.dtype, like=gy)
    return _run(problem, transposed_geometry(problem), gy, contiguous(weight), strides, None, gx, relu=False)


@weight_gradient.variant("cuda_direct", device="cuda", refuses=refuses_other_dtypes)
def weight_gradient_direct(problem: Conv2dProblem, x: Array, gy: Array) -> Array:
    k, c, _, _ = problem.weight_shape
    x, gy = channels_last(x), channels_last(gy)
    gweight = empty(problem.weight_shape, x.dtype, like=x)
    gather = _gather(forward_geometry(problem), problem.batch, problem.groups, c, k // problem.groups)
    SOURCE.kernel("weight_gradient", REAL=REAL[problem.dtype])(
        _blocks(gweight.size), (THREADS,), gather, x, np.int32(pixel_distance(x)), gy,
        np.int32(pixel_distance(gy)), gweight,
    )  # fmt: skip
    return gweight
