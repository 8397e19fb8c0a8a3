"""Any convolution as matrix products over copied windows (im2col + GEMM; Chellapilla et al. 2006).

    columns[pixel, (r, s, c)] = x at the element that tap (r, s) meets for this output pixel, zero outside
    y[pixel, k]               = columns @ w[(r, s, c), k]

Each task copies the windows of some hundred pixels into a buffer that stays in the L2 cache and multiplies
them at once; the whole column matrix never exists, nor does a padded copy of x. The input gradient is the
same gather over gy with the filter turned by 180 degrees: with stride t, an input pixel meets a
gradient only where its distance is a multiple of t (`step` below; Dumoulin and Visin 2016, section 4).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ..arrays import Array
from ..cpu.buffers import channels_last, empty, empty_channels_last, pixel_rows
from ..cpu.floats import refuses_other_than_floats
from ..cpu.gemm import gemm
from ..cpu.jit import get_num_threads, jit, parallel_jit
from . import forward, input_gradient, weight_gradient
from .geometry import Geometry, forward_geometry, transposed_geometry
from .problem import Conv2dProblem

PRIORITY = 10
BUFFER_BYTES = 1 << 18  # the window columns of one block


@jit
def _copy_windows(geometry, x, x_row, first_channel, channels, start, count, columns, offset):  # type: ignore[no-untyped-def]
    """The windows of output pixels start .. start+count, as rows [r, s, c] in `columns` from `offset` on."""
    height, width, p, q, r_taps, s_taps = geometry[:6]
    stride_h, stride_w, origin_h, origin_w, dilation_h, dilation_w, step_h, step_w = geometry[6:]
    adjacent = dilation_w == 1 and step_w == 1 and x_row == channels
    line = s_taps * channels
    out = offset
    for pixel in range(start, start + count):
        rest, column = divmod(pixel, q)
        image, row = divmod(rest, p)
        top, left = row * stride_h + origin_h, column * stride_w + origin_w
        for r in range(r_taps):
            h = top + r * dilation_h
            source_h = h // step_h
            if h < 0 or source_h >= height or source_h * step_h != h:
                for i in range(out, out + line):
                    columns[i] = 0
            elif adjacent and left >= 0 and left + s_taps <= width:
                source = ((image * height + source_h) * width + left) * x_row
                for i in range(line):
                    columns[out + i] = x[source + i]
            else:
                for s in range(s_taps):
                    w = left + s * dilation_w
                    source_w = w // step_w
                    target = out + s * channels
                    if w < 0 or source_w >= width or source_w * step_w != w:
                        for i in range(channels):
                            columns[target + i] = 0
                    else:
                        source = ((image * height + source_h) * width + source_w) * x_row + first_channel
                        for i in range(channels):
                            columns[target + i] = x[source + i]
            out += line


@parallel_jit
def _convolve(geometry, pixels, x, x_row, c, w, k, groups, bias, has_bias, y, columns, block, tasks):  # type: ignore[no-untyped-def]
    """y[pixel, group*k + :] = windows of the group's c channels @ w[group, k, (r, s, c)].T (+ bias)."""
    depth = geometry[4] * geometry[5] * c
    blocks = (pixels + block - 1) // block
    y_row = groups * k
    for task in prange(tasks):
        buffer = task * block * depth
        for index in range(blocks * task // tasks, blocks * (task + 1) // tasks):
            start = index * block
            count = min(block, pixels - start)
            if has_bias:
                for pixel in range(start, start + count):
                    for channel in range(y_row):
                        y[pixel * y_row + channel] = bias[channel]
            for group in range(groups):
                _copy_windows(geometry, x, x_row, group * c, c, start, count, columns, buffer)
                gemm(
                    count, k, depth, columns, buffer, depth, False, w, group * k * depth, depth, True,
                    has_bias, y, start * y_row + group * k, y_row,
                )  # fmt: skip


@parallel_jit
def _accumulate(geometry, pixels, x, x_row, c, gy, gy_row, k, groups, columns, partial, gw, block, tasks):  # type: ignore[no-untyped-def]
    """gw[group, k, (r, s, c)] = gy[pixel, group*k + :].T @ windows, a fixed range of pixels a task."""
    depth = geometry[4] * geometry[5] * c
    blocks = (pixels + block - 1) // block
    size = groups * k * depth
    for task in prange(tasks):
        buffer = task * block * depth
        partial[task * size : (task + 1) * size] = 0
        for index in range(blocks * task // tasks, blocks * (task + 1) // tasks):
            start = index * block
            count = min(block, pixels - start)
            for group in range(groups):
                _copy_windows(geometry, x, x_row, group * c, c, start, count, columns, buffer)
                gemm(
                    k, depth, count, gy, start * gy_row + group * k, gy_row, True,
                    columns, buffer, depth, False, True, partial, task * size + group * k * depth, depth,
                )  # fmt: skip
    for task in prange(tasks):
        for index in range(size * task // tasks, size * (task + 1) // tasks):
            total = partial[index]
            for part in range(1, tasks):
                total += partial[part * size + index]
            gw[index] = total


def _block(pixels: int, depth: int, dtype: str, tasks: int) -> int:
    """Pixels a product: as many as the buffer holds, fewer where every thread would not get a block."""
    fitting = max(16, BUFFER_BYTES // (depth * np.dtype(dtype).itemsize))
    return max(1, min(fitting, -(-pixels // tasks)))


def _run(geometry: Geometry, source: Array, w: Array, bias: Array | None, y: Array, groups: int) -> Array:
    """`w` lies as [group, target channel, r, s, source channel]."""
    flat, row = pixel_rows(channels_last(source))
    n, k, height, width = y.shape
    pixels, tasks, c = n * height * width, get_num_threads(), source.shape[1] // groups
    depth = w.size // k
    block = _block(pixels, depth, y.dtype.name, tasks)
    columns = empty((tasks * block * depth,), y.dtype)
    w = np.ascontiguousarray(w).reshape(-1)
    bias_or_any = w if bias is None else np.ascontiguousarray(bias)
    _convolve(
        geometry, pixels, flat, row, c, w, k // groups, groups, bias_or_any, bias is not None,
        pixel_rows(y)[0], columns, block, tasks,
    )  # fmt: skip
    return y


@forward.variant("im2col", device="cpu", priority=PRIORITY, refuses=refuses_other_than_floats)
def forward_im2col(problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None) -> Array:
    y = empty_channels_last(problem.output_shape, problem.dtype)
    return _run(forward_geometry(problem), x, weight.transpose(0, 2, 3, 1), bias, y, problem.groups)


@input_gradient.variant("im2col", device="cpu", priority=PRIORITY, refuses=refuses_other_than_floats)
def input_gradient_im2col(problem: Conv2dProblem, gy: Array, weight: Array) -> Array:
    gx = empty_channels_last(problem.input_shape, problem.dtype)
    k, c, r, s = weight.shape
    by_group = weight.reshape(problem.groups, k // problem.groups, c, r, s)[..., ::-1, ::-1]
    return _run(transposed_geometry(problem), gy, by_group.transpose(0, 2, 3, 4, 1), None, gx, problem.groups)


@weight_gradient.variant("im2col", device="cpu", priority=PRIORITY, refuses=refuses_other_than_floats)
def weight_gradient_im2col(problem: Conv2dProblem, x: Array, gy: Array) -> Array:
    (x_flat, x_row), (gy_flat, gy_row) = pixel_rows(channels_last(x)), pixel_rows(channels_last(gy))
    k, c, r, s = problem.weight_shape
    (height, width), tasks = problem.output_size, get_num_threads()
    pixels, depth = problem.batch * height * width, r * s * c
    block = _block(pixels, depth, problem.dtype, tasks)
    columns = empty((tasks * block * depth,), problem.dtype)
    partial = empty((tasks * k * depth,), problem.dtype)
    gw = empty((k, r, s, c), problem.dtype)
    _accumulate(
        forward_geometry(problem), pixels, x_flat, x_row, c, gy_flat, gy_row, k // problem.groups, problem.groups,
        columns, partial, gw.reshape(-1), block, tasks,
    )  # fmt: skip
    return np.ascontiguousarray(gw.transpose(0, 3, 1, 2))
