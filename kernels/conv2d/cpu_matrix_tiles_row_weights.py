"""The weight gradient over few channels, a network's first layer, by the processor's matrix instructions.

    gw[r, (s, c), k] = sum over rows p and columns q of x[p * stride + r, (q * stride + s, c)] * gy[p, q, k]

A filter row takes S*C neighbours in memory, at most 32 numbers, from a pixel that moves by the stride: rows of a
matrix that overlap. Its transpose has the columns q as its depth; it is split into halves once for each row of x
and serves every filter row r that meets it. The sum over p goes from one row's to the next's. The rest is as in
`cpu_matrix_tiles_weights.py`.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..cpu.buffers import channels_last, contiguous, empty, pixel_rows
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
    obstacle,
    product,
    release,
)
from ..cpu.recording import again, recording
from ..cpu.tasks import task_kernel
from ..cpu.two_bfloat16 import LANES, split_pairs, split_transposed
from . import weight_gradient
from .cpu_direct_weights import weight_gradient_direct
from .cpu_matrix_tiles_weights import BEST
from .problem import Conv2dProblem

BLOCK_ROWS = 8  # of gy; what they see of x stays in the L2 cache with them


def refuses(problem: Conv2dProblem) -> str | None:
    if problem.dtype != "float32":
        return f"it computes in float32, not {problem.dtype}"
    if problem.dilation != (1, 1) or problem.groups != 1:
        return "it needs dilation 1 and groups=1"
    numbers = problem.filter_size[1] * problem.in_channels
    return f"a filter row has {numbers} numbers, more than {ROWS}" if numbers > ROWS else None


def _priority(problem: Conv2dProblem) -> int:
    """First where a pixel alone would leave most of a tile empty."""
    return BEST + 1 if problem.in_channels < LANES else 10


@jit
def _split_row(  # type: ignore[no-untyped-def]
    x, start, width, c, padding, step, run, positions, steps, line, high, low_offset, row_bytes, rows
):
    """The transposed halves of a row of x of which the first element is x[start]; of zeros where start < 0.

    `line` is scratch for the padded row, of which only the middle is ever written.
    """
    if start >= 0:
        for i in range(width * c):
            line[padding * c + i] = x[start + i]
    bad = 0
    for first in range(0, steps * DEPTH, LANES):
        for i in range(LANES):
            inside = start >= 0 and first + i < positions
            rows[i] = line.ctypes.data + (first + i) * step * 4 if inside else 0
        for number in range(0, ROWS, LANES):
            target = high + number * row_bytes + 2 * first
            bad |= split_transposed(
                rows.ctypes.data, 4 * number, run - number, target, target + low_offset, row_bytes
            )
    return bad


@task_kernel
def _accumulate(  # type: ignore[no-untyped-def]
    task, tasks, images, height, width, c, x, p, q, k, gy, gy_row, r_taps, run, stride, padding, padding_w, step,
    lines, line_length, scratch, scratch_bytes, sums_of_tasks, sums_bytes, lists, tiles, not_finite,
):  # fmt: skip
    steps, panels = (q + DEPTH - 1) // DEPTH, (k + COLUMNS - 1) // COLUMNS
    row_bytes = (steps | 1) * 64
    seen_bytes = ROWS * row_bytes  # of one row of x
    most_seen = (BLOCK_ROWS - 1) * stride + r_taps
    low_offset = most_seen * seen_bytes
    part_bytes = BLOCK_ROWS * steps * TILE_BYTES
    high = aligned(scratch.ctypes.data + task * scratch_bytes)
    panels_base = high + 2 * low_offset
    task_sums = aligned(sums_of_tasks.ctypes.data + task * sums_bytes)
    rows = lists[task * (LANES + BLOCK_ROWS) :]
    offsets = rows[LANES:]
    for i in range(BLOCK_ROWS):
        offsets[i] = i * stride * seen_bytes
    line = lines[task * line_length :]
    blocks = (p + BLOCK_ROWS - 1) // BLOCK_ROWS
    first_block = images * blocks * task // tasks
    bad = 0
    configure(tiles.ctypes.data)
    for index in range(first_block, images * blocks * (task + 1) // tasks):
        image, first = index // blocks, index % blocks * BLOCK_ROWS
        count = min(BLOCK_ROWS, p - first)
        for i in range((count - 1) * stride + r_taps):
            h = first * stride - padding + i
            start = (image * height + h) * width * c if 0 <= h < height else -1
            bad |= _split_row(
                x, start, width, c, padding_w, step, run, q, steps, line, high + i * seen_bytes, low_offset,
                row_bytes, rows,
            )  # fmt: skip
        for row in range(count):
            pixels = gy.ctypes.data + ((image * p + first + row) * q) * gy_row * 4
            for pair in range(0, steps * DEPTH, 2):
                source = pixels + pair * gy_row * 4
                lanes, next_lanes = k if pair < q else 0, k if pair + 1 < q else 0
                for channel in range(0, k, LANES):
                    target = (
                        panels_base + (channel // COLUMNS * 4 + channel % COLUMNS // LANES) * part_bytes
                        + row * steps * TILE_BYTES + pair // 2 * 64
                    )  # fmt: skip
                    bad |= split_pairs(
                        source + 4 * channel, lanes - channel,
                        source + (gy_row + channel) * 4, next_lanes - channel,
                        0, target, target + 2 * part_bytes,
                    )  # fmt: skip
        for r in range(r_taps):
            for panel in range(panels):
                product(
                    high + r * seen_bytes, low_offset, row_bytes, offsets.ctypes.data, count, steps,
                    panels_base + panel * 4 * part_bytes, part_bytes, TILE_BYTES,
                    task_sums + (r * panels + panel) * SUM_BYTES, index > first_block,
                )  # fmt: skip
    release()
    not_finite[task] = bad


def _summed(sums: np.ndarray, problem: Conv2dProblem, tasks: int) -> Array:
    """The gradient from the tasks' sums (tasks, R, panels, S*C, 32 filters), added up in order."""
    k, c, r, s = problem.weight_shape
    parts = sums.reshape(tasks, r, -1, ROWS, COLUMNS).transpose(0, 2, 4, 1, 3)[..., : s * c]
    total = parts.reshape(tasks, -1, r, s, c)[:, :k].sum(0)  # no sum was written for filters past the last
    return np.ascontiguousarray(total.transpose(0, 3, 1, 2))


@weight_gradient.variant(
    "matrix_tile_rows", device="cpu", only_launches=True, priority=_priority, refuses=refuses, unavailable=obstacle
)
def weight_gradient_matrix_tile_rows(problem: Conv2dProblem, x: Array, gy: Array) -> Array:
    k, c, r, s = problem.weight_shape
    if problem.batch == 0:
        return np.zeros(problem.weight_shape, problem.dtype)
    (height, width), (p, q), (stride_h, stride_w) = problem.input_size, problem.output_size, problem.stride
    x = channels_last(x)
    if pixel_rows(x)[1] != c:  # a filter row must be neighbours in memory
        x = channels_last(contiguous(x))
    gy_flat, gy_row = pixel_rows(channels_last(gy))
    steps, panels = -(-q // DEPTH), -(-k // COLUMNS)
    blocks = problem.batch * -(-p // BLOCK_ROWS)
    tasks = min(get_num_threads(), blocks)
    seen = (BLOCK_ROWS - 1) * stride_h + r
    scratch_bytes = 2 * seen * ROWS * (steps | 1) * 64 + panels * 4 * BLOCK_ROWS * steps * TILE_BYTES + 64
    line_length = (width + 2 * problem.padding[1]) * c + ROWS
    sums_bytes = r * panels * SUM_BYTES
    # Sums begin where the tasks expect them: at a cache line.
    sums = empty((tasks * sums_bytes // 4 + 16,), np.float32)
    begin = -sums.ctypes.data % 64 // 4
    sums = sums[begin : begin + tasks * sums_bytes // 4]
    not_finite = np.zeros(tasks, np.int64)
    _accumulate(
        tasks, problem.batch, height, width, c, pixel_rows(x)[0], p, q, k, gy_flat, gy_row, r, s * c, stride_h,
        problem.padding[0], problem.padding[1], stride_w * c,
        np.zeros(tasks * line_length, np.float32), line_length, empty((tasks * scratch_bytes,), np.uint8),
        scratch_bytes, sums, sums_bytes, np.empty(tasks * (LANES + BLOCK_ROWS), np.int64), configuration(),
        not_finite,
    )  # fmt: skip
    if recording() is None and not_finite.any():  # recorded, a sum that is infinite becomes NaN
        return weight_gradient_direct(problem, x, gy)
    return again(lambda: _summed(sums, problem, tasks))
