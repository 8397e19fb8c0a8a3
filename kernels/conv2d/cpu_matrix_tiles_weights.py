"""The weight gradient of a convolution with stride 1 by the processor's matrix instructions.

    gw[tap, k, c] = sum over positions of gy[position, k] * x[position + distance of the tap, c]

The depth of this product are the positions of the padded images (`plane.py`). A task walks through its positions
in blocks. It splits a block's gy into halves, transposed, so that the positions of a channel are neighbours, with
zeros where a position is no output; and x into words of pairs of positions, twice: once pairing every even
position with the next, once every odd one, so that all distances begin at a word. Both stay in the L2 cache while
all blocks of 32 by 32 weights take their products and add them to the task's own part of the gradient. The parts
are added up in order at the end: the same number of threads gives the same bits. Where there are more weights
than positions, tasks share out the output channels instead, and nothing is left to add up.

The relative error of the norm is 3.5e-6. It goes into this gradient alone and no further; float32's own rounding
on the way through GoogLeNet leaves up to 1.5e-4. `direct` computes what is not finite.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..cpu.buffers import channels_last, empty, pixel_rows
from ..cpu.jit import get_num_threads, jit
from ..cpu.matrix_tiles import (
    COLUMNS,
    DEPTH,
    ROWS,
    SUM_BYTES,
    TILE_BYTES,
    aligned,
    configuration,
    configure,
    narrow_product,
    obstacle,
    product,
    release,
)
from ..cpu.recording import recording
from ..cpu.tasks import task_kernel
from ..cpu.two_bfloat16 import LANES, split_pairs, split_transposed
from . import weight_gradient
from .cpu_direct_weights import weight_gradient_direct
from .cpu_matrix_tiles import refuses
from .plane import forward_plane, next_place, place_of, positions_of, reach_of, row_of, source_pixel, target_pixel
from .problem import Conv2dProblem

BEST = 60  # the priority above all others
BLOCK_BYTES = 1_200_000  # of halves of x and gy, so that they stay in the L2 cache
MOST_POSITIONS = 512  # of a block


def _priority(problem: Conv2dProblem) -> int:
    """As measured: Winograd is faster for 3x3 filters over many channels, `direct` for few 1x1 filters."""
    if problem.filter_size == (3, 3):
        return BEST if problem.in_channels < 64 else 30
    return 15 if problem.filter_size == (1, 1) and problem.out_channels < 256 else BEST


@jit
def _split_target(  # type: ignore[no-untyped-def]
    plane, first, count, gy, gy_row, k, first_row_block, last_row_block, high, low_offset, row_bytes, rows
):
    """The halves of `count` positions of gy from `first` on: a row of positions for each channel."""
    image, line, column = place_of(plane, first)
    bad = 0
    for start in range(0, count, LANES):
        for i in range(LANES):
            pixel = target_pixel(plane, image, line, column)
            rows[i] = gy.ctypes.data + pixel * gy_row * 4 if pixel >= 0 else 0
            image, line, column = next_place(plane, image, line, column)
        for channel in range(first_row_block * ROWS, last_row_block * ROWS, LANES):
            target = high + channel * row_bytes + 2 * start
            bad |= split_transposed(
                rows.ctypes.data, 4 * channel, k - channel, target, target + low_offset, row_bytes
            )
    return bad


@jit
def _split_source(plane, first, pairs, x, x_row, c, panels, part_bytes):  # type: ignore[no-untyped-def]
    """The panels of x for `pairs` pairs of positions from `first` on, the first being even, then the first odd.

    A panel has four parts for the even and four for the odd pairs.
    """
    image, line, column = place_of(plane, first)
    pixel = source_pixel(plane, image, line, column)
    bad = 0
    for position in range(2 * pairs):
        image, line, column = next_place(plane, image, line, column)
        next_pixel = source_pixel(plane, image, line, column)
        source, lanes = x.ctypes.data + pixel * x_row * 4, c if pixel >= 0 else 0
        next_source, next_lanes = x.ctypes.data + next_pixel * x_row * 4, c if next_pixel >= 0 else 0
        target = panels + position % 2 * 4 * part_bytes + position // 2 * 64
        for channel in range(0, c, LANES):
            place = target + channel // COLUMNS * 8 * part_bytes + channel % COLUMNS // LANES * part_bytes
            bad |= split_pairs(
                source + 4 * channel, lanes - channel, next_source + 4 * channel, next_lanes - channel, 0,
                place, place + 2 * part_bytes,
            )  # fmt: skip
        pixel = next_pixel
    return bad


@task_kernel
def _accumulate(  # type: ignore[no-untyped-def]
    task, tasks, plane, padded_row, positions, reach, block, x, x_row, c, gy, gy_row, k, row_bytes, part_bytes,
    scratch, scratch_bytes, sums_of_tasks, sums_bytes, rows_of_tasks, tiles, not_finite, channel_tasks,
):  # fmt: skip
    taps, row_blocks, panels = plane[5] * plane[6], (k + ROWS - 1) // ROWS, (c + COLUMNS - 1) // COLUMNS
    high = aligned(scratch.ctypes.data + task * scratch_bytes)
    low_offset = row_blocks * ROWS * row_bytes
    source_panels = high + 2 * low_offset
    part, parts, channel_task = task // channel_tasks, tasks // channel_tasks, task % channel_tasks
    part_sums = aligned(sums_of_tasks.ctypes.data + part * sums_bytes)
    first_row_block = row_blocks * channel_task // channel_tasks
    last_row_block = row_blocks * (channel_task + 1) // channel_tasks
    rows = rows_of_tasks[task * (LANES + 1) :]
    rows[LANES] = 0  # the only tap's offset
    blocks = (positions + block - 1) // block
    first_block = blocks * part // parts
    bad = 0
    configure(tiles.ctypes.data)
    for index in range(first_block, blocks * (part + 1) // parts):
        first = index * block
        steps = (min(block, positions - first) + DEPTH - 1) // DEPTH
        count = steps * DEPTH
        bad |= _split_target(
            plane, first, count, gy, gy_row, k, first_row_block, last_row_block, high, low_offset, row_bytes, rows
        )
        bad |= _split_source(plane, first, (count + reach) // 2 + 1, x, x_row, c, source_panels, part_bytes)
        for panel in range(panels):
            for tap in range(taps):
                distance = tap // plane[6] * padded_row + tap % plane[6]
                place = source_panels + (8 * panel + distance % 2 * 4) * part_bytes + distance // 2 * 64
                for row_block in range(first_row_block, last_row_block):
                    left = high + row_block * ROWS * row_bytes
                    sums = part_sums + ((row_block * panels + panel) * taps + tap) * SUM_BYTES
                    offset = rows.ctypes.data + 8 * LANES
                    if c - panel * COLUMNS > LANES:
                        product(
                            left, low_offset, row_bytes, offset, 1, steps, place, part_bytes, TILE_BYTES,
                            sums, index > first_block,
                        )  # fmt: skip
                    else:
                        narrow_product(
                            left, low_offset, row_bytes, offset, 1, steps, place, part_bytes, TILE_BYTES,
                            sums, index > first_block,
                        )  # fmt: skip
    release()
    not_finite[task] = bad


@task_kernel
def _sum_parts(task, tasks, taps, c, k, part_count, sums, sums_bytes, gw):  # type: ignore[no-untyped-def]
    """gw = the sum of the parts, in order; a task takes a range of output channels."""
    panels, size, step = (c + COLUMNS - 1) // COLUMNS, SUM_BYTES // 4, sums_bytes // 4
    begin = (aligned(sums.ctypes.data) - sums.ctypes.data) // 4
    for row in range(k * task // tasks, k * (task + 1) // tasks):
        for panel in range(panels):
            source = begin + (row // ROWS * panels + panel) * taps * size + row % ROWS * COLUMNS
            target = (row * c + panel * COLUMNS) * taps
            columns = min(COLUMNS, c - panel * COLUMNS)
            for tap in range(taps):
                for column in range(columns):
                    total = sums[source + tap * size + column]
                    for part in range(1, part_count):
                        total += sums[source + tap * size + column + part * step]
                    gw[target + column * taps + tap] = total


@weight_gradient.variant(
    "matrix_tiles", device="cpu", only_launches=True, priority=_priority, refuses=refuses, unavailable=obstacle
)
def weight_gradient_matrix_tiles(problem: Conv2dProblem, x: Array, gy: Array) -> Array:
    gw = np.empty(problem.weight_shape, problem.dtype)
    k, c, r, s = gw.shape
    if problem.batch == 0:
        gw[...] = 0
        return gw
    plane = forward_plane(problem)
    positions, reach = positions_of(plane), reach_of(plane)
    row_blocks, panels, threads = -(-k // ROWS), -(-c // COLUMNS), get_num_threads()
    depth_blocks = min(MOST_POSITIONS, BLOCK_BYTES // (128 * (row_blocks + 2 * panels))) // DEPTH
    channel_tasks = min(threads, row_blocks) if positions < 2 * r * s * k else 1
    depth_blocks = max(1, min(depth_blocks, -(-positions // (threads // channel_tasks * DEPTH))))
    block = depth_blocks * DEPTH
    parts = min(threads // channel_tasks, -(-positions // block))
    tasks = parts * channel_tasks
    # Odd numbers of cache lines, lest the rows of a tile or a panel's parts share the sets of the L1 cache.
    row_bytes = (depth_blocks | 1) * 64
    part_bytes = ((block + reach) // 2 + 1 | 1) * 64
    scratch_bytes = 2 * row_blocks * ROWS * row_bytes + 8 * panels * part_bytes + 64
    sums_bytes = row_blocks * panels * r * s * SUM_BYTES
    sums = empty((parts * sums_bytes // 4 + 16,), np.float32)
    (x_flat, x_row), (gy_flat, gy_row) = pixel_rows(channels_last(x)), pixel_rows(channels_last(gy))
    not_finite = np.zeros(tasks, np.int64)
    _accumulate(
        tasks, plane, row_of(plane), positions, reach, block, x_flat, x_row, c, gy_flat, gy_row, k, row_bytes,
        part_bytes, empty((tasks * scratch_bytes,), np.uint8), scratch_bytes, sums, sums_bytes,
        np.empty(tasks * (LANES + 1), np.int64), configuration(), not_finite, channel_tasks,
    )  # fmt: skip
    if recording() is None and not_finite.any():  # recorded, a sum that is infinite becomes NaN
        return weight_gradient_direct(problem, x, gy)
    _sum_parts(min(threads, k), r * s, c, k, parts, sums, sums_bytes, gw.reshape(-1))
    return gw
