"""Convolution with stride 1 by the processor's matrix instructions, without copying windows.

    y[position, k] = sum over taps and channels c of x[position + distance of the tap, c] * w[tap, c, k]

A task takes a block of positions of the padded images (`plane.py`), splits what they see into halves
(`cpu/two_bfloat16.py`), which stay in the L2 cache, and multiplies them by one panel of 32 filters after the
other (`cpu/matrix_tiles.py`): a tap is only another first row of the left factor. Bias and ReLU are applied when a
block of sums goes to memory. The input gradient is the same over gy, with the filter turned by 180 degrees.

The relative error of the norm is 3.5e-6, where float32 products have 2e-7; sums are float32 in both. A small error
in a forward decides which way a ReLU or a maximum goes, and one in an input gradient goes through all layers that
follow: both run only where they are asked for by name. Where an input or a weight is not finite, `direct`
computes everything once more: halves of infinity are NaN.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..cpu.buffers import channels_last, empty, empty_channels_last, pixel_rows
from ..cpu.frozen import form_of
from ..cpu.jit import get_num_threads, jit
from ..cpu.matrix_tiles import (
    COLUMNS,
    DEPTH,
    PANEL_BYTES,
    ROWS,
    SUM_BYTES,
    SUM_ROW,
    TILE_BYTES,
    aligned,
    configuration,
    configure,
    finish_row,
    narrow_product,
    obstacle,
    packed_panels,
    product,
    release,
)
from ..cpu.tasks import task_kernel
from ..cpu.two_bfloat16 import LANES, split
from . import forward, forward_relu, input_gradient
from .cpu_direct import forward_direct, forward_relu_direct, input_gradient_direct
from .output import result
from .plane import (
    Plane,
    forward_plane,
    next_place,
    obstacle_to_plane,
    place_of,
    positions_of,
    reach_of,
    row_of,
    source_pixel,
    target_pixel,
    transposed_plane,
)
from .problem import Conv2dProblem

ONLY_BY_NAME = -1
BLOCK_BYTES = 500_000  # of halves, so that they stay in the L2 cache with a panel of the filter
ONE_THREAD = 8_000_000  # multiply-adds: about what waking another thread costs


def refuses(problem: Conv2dProblem) -> str | None:
    if problem.dtype != "float32":
        return f"it computes in float32, not {problem.dtype}"
    return obstacle_to_plane(problem)


def _row_bytes_of(channels: int) -> int:
    """Of a position's halves: whole blocks of the depth, in an odd number of cache lines, lest rows share sets."""
    return (-(-channels // DEPTH) | 1) * 64


@jit
def _split_positions(plane, first, count, x, x_row, c, high, low_offset, row_bytes):  # type: ignore[no-untyped-def]
    """The halves of `count` positions from `first` on, to rows at address `high`; whether all were finite."""
    image, line, column = place_of(plane, first)
    bad = 0
    for _ in range(count):
        pixel = source_pixel(plane, image, line, column)
        source, lanes = x.ctypes.data + pixel * x_row * 4, c if pixel >= 0 else 0
        for offset in range(0, 2 * c, 2 * LANES):
            bad |= split(source + 2 * offset, lanes - offset // 2, high + offset, high + low_offset + offset)
        if (c - 1) % DEPTH < LANES:  # the second half of the last block of the depth
            offset = (c + LANES - 1) // LANES * 2 * LANES
            split(source, 0, high + offset, high + low_offset + offset)
        high += row_bytes
        image, line, column = next_place(plane, image, line, column)
    return bad


@task_kernel
def _convolve(  # type: ignore[no-untyped-def]
    task, tasks, plane, padded_row, positions, reach, block, x, x_row, c, row_bytes, packed, k, bias, relu,
    y, y_row, scratch, scratch_bytes, lists, tiles, not_finite, column_tasks,
):  # fmt: skip
    taps, depth_blocks = plane[5] * plane[6], (c + DEPTH - 1) // DEPTH
    row_task, row_tasks, column_task = task // column_tasks, tasks // column_tasks, task % column_tasks
    panels, panel_bytes = (k + COLUMNS - 1) // COLUMNS, taps * depth_blocks * PANEL_BYTES
    sums = aligned(scratch.ctypes.data + task * scratch_bytes)
    high = sums + SUM_BYTES
    low_offset = (block + reach) * row_bytes
    places = lists[task * (block + taps) :]
    offsets = places[block:]
    for tap in range(taps):
        offsets[tap] = (tap // plane[6] * padded_row + tap % plane[6]) * row_bytes
    blocks = (positions + block - 1) // block
    bad = 0
    configure(tiles.ctypes.data)
    for index in range(blocks * row_task // row_tasks, blocks * (row_task + 1) // row_tasks):
        first = index * block
        count = min(block, positions - first)
        bad |= _split_positions(plane, first, count + reach, x, x_row, c, high, low_offset, row_bytes)
        image, line, column = place_of(plane, first)
        for i in range(block):
            pixel = target_pixel(plane, image, line, column) if i < count else -1
            places[i] = y.ctypes.data + pixel * y_row * 4 if pixel >= 0 else 0
            image, line, column = next_place(plane, image, line, column)
        for panel in range(panels * column_task // column_tasks, panels * (column_task + 1) // column_tasks):
            panel_place = aligned(packed.ctypes.data) + panel * panel_bytes
            columns, offset = k - panel * COLUMNS, panel * SUM_ROW
            for row in range(0, count, ROWS):
                rows = high + row * row_bytes
                if columns > LANES:
                    product(
                        rows, low_offset, row_bytes, offsets.ctypes.data, taps, depth_blocks, panel_place,
                        TILE_BYTES, PANEL_BYTES, sums, False,
                    )  # fmt: skip
                else:
                    narrow_product(
                        rows, low_offset, row_bytes, offsets.ctypes.data, taps, depth_blocks, panel_place,
                        TILE_BYTES, PANEL_BYTES, sums, False,
                    )  # fmt: skip
                for i in range(ROWS):
                    place = places[row + i]
                    if place != 0:
                        finish_row(sums + i * SUM_ROW, bias.ctypes.data + offset, relu, place + offset, columns)
    release()
    not_finite[task] = bad


def _run(
    plane: Plane,
    source: Array,
    weight: Array,
    strides: tuple[int, int, int, int],
    bias: Array | None,
    y: Array,
    relu: bool,
) -> bool:
    """Convolve `source` into `y`; whether all that was read was finite, so that y is right."""
    flat, row = pixel_rows(source)
    c, k, taps = source.shape[1], y.shape[1], plane[5] * plane[6]
    if y.size == 0:
        return True
    packed = form_of(weight, ("matrix_tiles", strides), lambda: packed_panels(weight, strides, taps, c, k))
    if packed.size == 0:
        return False
    positions, reach, row_bytes = positions_of(plane), reach_of(plane), _row_bytes_of(c)
    threads = get_num_threads() if positions * taps * c * k > ONE_THREAD else 1
    blocks = -(-positions // ROWS)  # of 32 positions
    by_columns = blocks < 4 * threads
    column_tasks = min(threads, -(-k // COLUMNS)) if by_columns else 1
    row_tasks = max(1, threads // column_tasks)
    block = min(max(2, BLOCK_BYTES // (2 * ROWS * row_bytes)), -(-blocks // row_tasks)) * ROWS
    tasks = row_tasks * column_tasks
    scratch_bytes = SUM_BYTES + 64 + 2 * (block + reach) * row_bytes
    not_finite = np.zeros(tasks, np.int64)
    _convolve(
        tasks, plane, row_of(plane), positions, reach, block, flat, row, c, row_bytes, packed, k,
        np.zeros(k, np.float32) if bias is None else np.ascontiguousarray(bias), relu,
        *pixel_rows(y), empty((tasks * scratch_bytes,), np.uint8), scratch_bytes,
        np.empty(tasks * (block + taps), np.int64), configuration(), not_finite, column_tasks,
    )  # fmt: skip
    return not not_finite.any()


def _forward(
    problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None, relu: bool, out: Array | None
) -> Array | None:
    y = result(problem.output_shape, x, out)
    c, r, s = problem.weight_shape[1:]
    strides = (0, 1, r * s, c * r * s)
    return y if _run(forward_plane(problem), channels_last(x), weight, strides, bias, y, relu) else None


@forward.variant("matrix_tiles", device="cpu", priority=ONLY_BY_NAME, refuses=refuses, unavailable=obstacle)
def forward_matrix_tiles(
    problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None, out: Array | None = None
) -> Array:
    y = _forward(problem, x, weight, bias, relu=False, out=out)
    return forward_direct(problem, x, weight, bias, out) if y is None else y


@forward_relu.variant("matrix_tiles", device="cpu", priority=ONLY_BY_NAME, refuses=refuses, unavailable=obstacle)
def forward_relu_matrix_tiles(
    problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None, out: Array | None = None
) -> Array:
    y = _forward(problem, x, weight, bias, relu=True, out=out)
    return forward_relu_direct(problem, x, weight, bias, out) if y is None else y


@input_gradient.variant("matrix_tiles", device="cpu", priority=ONLY_BY_NAME, refuses=refuses, unavailable=obstacle)
def input_gradient_matrix_tiles(problem: Conv2dProblem, gy: Array, weight: Array) -> Array:
    gx = empty_channels_last(problem.input_shape, problem.dtype)
    c, r, s = problem.weight_shape[1:]
    strides = (r * s - 1, -1, c * r * s, r * s)
    if _run(transposed_plane(problem), channels_last(gy), weight, strides, None, gx, relu=False):
        return gx
    return input_gradient_direct(problem, gy, weight)
