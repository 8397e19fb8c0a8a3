"""1x1 convolution, stride 1, no padding: a matrix product over pixels, with no copy.

Channels-last, the pixels of an activation are the rows of a matrix, so

    y[pixel, k]  = sum over c of x[pixel, c] w[k, c]            (forward)
    gx[pixel, c] = sum over k of gy[pixel, k] w[k, c]           (input gradient)
    gw[k, c]     = sum over pixels of gy[pixel, k] x[pixel, c]  (weight gradient)

Forward and input gradient split the pixels over the threads; the weight gradient sums a fixed range of
pixels a thread and adds the parts up in order, so the same thread count gives the same bits.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ..arrays import Array
from ..cpu.buffers import channels_last, empty, empty_channels_last, pixel_rows
from ..cpu.floats import refuses_other_than_floats
from ..cpu.gemm import gemm
from ..cpu.jit import get_num_threads, parallel_jit
from . import forward, input_gradient, weight_gradient
from .problem import Conv2dProblem

PRIORITY = 18
ROWS = 256  # pixels a product; their rows and results stay in the L2 cache


def refuses(problem: Conv2dProblem) -> str | None:
    if problem.filter_size != (1, 1) or problem.stride != (1, 1) or problem.padding != (0, 0):
        return "it needs a 1x1 filter with stride 1 and padding 0"
    return refuses_other_than_floats(problem) if problem.groups == 1 else "it needs groups=1"


@parallel_jit
def _rows_times_matrix(rows, x, x_row, inner, matrix, transposed, bias, has_bias, y, columns, block, tasks):  # type: ignore[no-untyped-def]
    """y[rows, columns] = x[rows, inner] @ matrix (+ bias), stored [columns, inner] if `transposed`."""
    blocks = (rows + block - 1) // block
    for task in prange(tasks):
        for index in range(blocks * task // tasks, blocks * (task + 1) // tasks):
            start = index * block
            count = min(block, rows - start)
            if has_bias:
                for row in range(start, start + count):
                    for column in range(columns):
                        y[row * columns + column] = bias[column]
            matrix_row = inner if transposed else columns
            gemm(
                count, columns, inner, x, start * x_row, x_row, False,
                matrix, 0, matrix_row, transposed, has_bias, y, start * columns, columns,
            )  # fmt: skip


@parallel_jit
def _columns_times_columns(rows, gy, gy_row, k, x, x_row, c, partial, gw, tasks):  # type: ignore[no-untyped-def]
    """gw[k, c] = gy[rows, k].T @ x[rows, c]."""
    for task in prange(tasks):
        start, stop = rows * task // tasks, rows * (task + 1) // tasks
        gemm(
            k, c, stop - start, gy, start * gy_row, gy_row, True,
            x, start * x_row, x_row, False, False, partial, task * k * c, c,
        )  # fmt: skip
    for task in prange(tasks):
        for index in range(k * c * task // tasks, k * c * (task + 1) // tasks):
            total = partial[index]
            for part in range(1, tasks):
                total += partial[part * k * c + index]
            gw[index] = total


def _product(activation: Array, matrix: Array, transposed: bool, bias: Array | None, y: Array) -> Array:
    flat, row = pixel_rows(channels_last(activation))
    n, inner, h, w = activation.shape
    rows, columns, tasks = n * h * w, y.shape[1], get_num_threads()
    block = max(1, min(ROWS, -(-rows // tasks)))
    matrix = np.ascontiguousarray(matrix).reshape(-1)
    bias_or_any = matrix if bias is None else np.ascontiguousarray(bias)
    _rows_times_matrix(
        rows, flat, row, inner, matrix, transposed, bias_or_any, bias is not None,
        pixel_rows(y)[0], columns, block, tasks,
    )  # fmt: skip
    return y


@forward.variant("pointwise", device="cpu", priority=PRIORITY, refuses=refuses)
def forward_pointwise(problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None) -> Array:
    y = empty_channels_last(problem.output_shape, problem.dtype)
    return _product(x, weight, True, bias, y)


@input_gradient.variant("pointwise", device="cpu", priority=PRIORITY, refuses=refuses)
def input_gradient_pointwise(problem: Conv2dProblem, gy: Array, weight: Array) -> Array:
    gx = empty_channels_last(problem.input_shape, problem.dtype)
    return _product(gy, weight, False, None, gx)


@weight_gradient.variant("pointwise", device="cpu", priority=PRIORITY, refuses=refuses)
def weight_gradient_pointwise(problem: Conv2dProblem, x: Array, gy: Array) -> Array:
    gweight = np.empty(problem.weight_shape, problem.dtype)
    (x_flat, x_row), (gy_flat, gy_row) = pixel_rows(channels_last(x)), pixel_rows(channels_last(gy))
    (k, c), (h, w) = gweight.shape[:2], problem.input_size
    tasks = get_num_threads()
    partial = empty((tasks * k * c,), problem.dtype)
    _columns_times_columns(
        problem.batch * h * w, gy_flat, gy_row, k, x_flat, x_row, c, partial, gweight.reshape(-1), tasks
    )
    return gweight
