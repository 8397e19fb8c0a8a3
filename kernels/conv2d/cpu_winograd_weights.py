"""The weight gradient of a 3x3 convolution by the transpose of F(4x4, 3x3); see `winograd_transforms`.

    V[position, tile, c]  = B^T x B       of each 6x6 tile of x
    W[position, tile, k]  = A gy A^T      of each 4x4 tile of gy
    D[position, k, c]     = sum over tiles of W * V          36 products
    gw[k, c]              = G^T D G

Tiles come in steps of TILES, whose transforms are shared by all threads; then each thread takes its own part of
(k, c), all 36 positions of it, and keeps adding to its part of D. The order of a sum never depends on the
number of threads.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..cpu.buffers import channels_last, empty, pixel_rows
from ..cpu.jit import get_num_threads
from ..cpu.processor import VECTOR_BYTES
from ..cpu.tasks import task_kernel
from ..cpu.tile import FROM_STORED, FROM_ZERO, LIST_WORDS, TILE_ROWS, TILE_VECTORS, lanes_of, multiply, panels_of
from . import weight_gradient
from .cpu_winograd import refuses
from .problem import Conv2dProblem
from .winograd_transforms import (
    INPUT_TILE,
    OUTPUT_TILE,
    POSITIONS,
    list_square,
    transform_filter_gradient,
    transform_input,
    transform_output_gradient,
)

TILES = 128  # tiles a step: a panel of V for one position then fits the L1 cache
SLOT = POSITIONS * TILE_ROWS * TILE_VECTORS * VECTOR_BYTES  # bytes of D for one tile of rows and one panel


@task_kernel
def _transform(  # type: ignore[no-untyped-def]
    task, tasks, begin, count, height, width, p, q, top, left, x, x_row, c, panels, gy, gy_row, k, zeros, v, w,
    squares,
):  # fmt: skip
    """V and W of tiles begin .. begin+count, in the order in which the products read them."""
    lanes = lanes_of(x)
    down, across = (p + OUTPUT_TILE - 1) // OUTPUT_TILE, (q + OUTPUT_TILE - 1) // OUTPUT_TILE
    c_vectors, k_vectors = (c + lanes - 1) // lanes, (k + lanes - 1) // lanes
    v_base, w_base, outside = v.ctypes.data, w.ctypes.data, zeros.ctypes.data
    square = squares[task * 2 * POSITIONS :]
    gy_square = square[POSITIONS:]
    for t in range(count * task // tasks, count * (task + 1) // tasks):
        image, place = divmod(begin + t, down * across)
        row, column = OUTPUT_TILE * (place // across), OUTPUT_TILE * (place % across)
        list_square(x, x_row, image, height, width, row - top, column - left, INPUT_TILE, outside, square, 0)
        list_square(gy, gy_row, image, p, q, row, column, OUTPUT_TILE, outside, gy_square, 0)
        for panel in range(panels):
            first, last = c_vectors * panel // panels, c_vectors * (panel + 1) // panels
            for vector in range(first, last):
                offset = vector * VECTOR_BYTES
                target = POSITIONS * count * first + t * (last - first) + vector - first
                transform_input(
                    x, square.ctypes.data, 0, v_base + target * VECTOR_BYTES - offset,
                    count * (last - first) * VECTOR_BYTES, offset, c - vector * lanes,
                )  # fmt: skip
        for vector in range(k_vectors):
            offset = vector * VECTOR_BYTES
            transform_output_gradient(
                x, gy_square.ctypes.data, 0, w_base + (vector * count + t) * VECTOR_BYTES - offset,
                k_vectors * count * VECTOR_BYTES, offset, k - vector * lanes,
            )  # fmt: skip


@task_kernel
def _multiply(  # type: ignore[no-untyped-def]
    task, tasks, begin, count, is_last, c, panels, k, v, w, d, whole_d, lists, lists_size, ones, taps, gw
):  # fmt: skip
    """D += W^T V for a task's units of rows and panels; after the last step gw from D."""
    size, lanes = v.itemsize, lanes_of(v)
    c_vectors, k_vectors = (c + lanes - 1) // lanes, (k + lanes - 1) // lanes
    k_rows = (k + TILE_ROWS - 1) // TILE_ROWS
    units = panels * k_rows
    row_bytes = TILE_VECTORS * VECTOR_BYTES
    v_base, w_base, d_base = v.ctypes.data, w.ctypes.data, d.ctypes.data
    a_lists = lists[task * lists_size :]
    c_lists = a_lists[POSITIONS * LIST_WORDS :]
    mine = taps[task * 9 * lanes :]
    for position in range(POSITIONS):
        for i in range(TILE_ROWS):
            element = (i // lanes * count * lanes + i % lanes) * size
            a_lists[position * LIST_WORDS + i] = w_base + position * k_vectors * count * VECTOR_BYTES + element
            c_lists[position * TILE_ROWS + i] = d_base + (position * TILE_ROWS + i) * row_bytes
        a_lists[position * LIST_WORDS + TILE_ROWS] = position
    for unit in range(units * task // tasks, units * (task + 1) // tasks):
        panel, k_row = unit // k_rows, unit % k_rows
        first, last = c_vectors * panel // panels, c_vectors * (panel + 1) // panels
        slot = (unit if whole_d else task) * SLOT
        k_first = k_row * TILE_ROWS
        multiply(
            v, POSITIONS, ones, 0, count, a_lists.ctypes.data, LIST_WORDS * 8,
            (k_first // lanes * count * lanes + k_first % lanes) * size, VECTOR_BYTES,
            v_base, POSITIONS * count, c_vectors * lanes, panels, panel, panel + 1,
            FROM_STORED if begin > 0 else FROM_ZERO, 0, 0, c_lists.ctypes.data, slot - first * VECTOR_BYTES, 0,
        )  # fmt: skip
        if is_last:
            for i in range(min(TILE_ROWS, k - k_first)):
                for vector in range(first, last):
                    transform_filter_gradient(
                        v, d_base + slot + i * row_bytes + (vector - first) * VECTOR_BYTES,
                        TILE_ROWS * row_bytes, mine.ctypes.data, VECTOR_BYTES, 0, lanes,
                    )  # fmt: skip
                    for lane in range(min(lanes, c - vector * lanes)):
                        target = ((k_first + i) * c + vector * lanes + lane) * 9
                        for tap in range(9):
                            gw[target + tap] = mine[tap * lanes + lane]


@weight_gradient.variant("winograd", device="cpu", only_launches=True, priority=40, refuses=refuses)
def weight_gradient_winograd(problem: Conv2dProblem, x: Array, gy: Array) -> Array:
    if problem.batch == 0:
        return np.zeros(problem.weight_shape, problem.dtype)
    gw = empty(problem.weight_shape, problem.dtype)
    (x_flat, x_row), (gy_flat, gy_row) = pixel_rows(channels_last(x)), pixel_rows(channels_last(gy))
    (k, c), tasks, lanes = gw.shape[:2], get_num_threads(), VECTOR_BYTES // gw.itemsize
    k_vectors, c_vectors, panels = -(-k // lanes), -(-c // lanes), panels_of(c, 1, lanes)
    p, q = problem.output_size
    tiles = problem.batch * -(-p // OUTPUT_TILE) * -(-q // OUTPUT_TILE)
    step = min(tiles, TILES)
    whole_d = tiles > TILES  # D has to outlive a step
    slots = panels * -(-k // TILE_ROWS) if whole_d else tasks
    zeros = np.zeros(max(c_vectors, k_vectors) * lanes, gw.dtype)
    v = empty((POSITIONS * step * c_vectors * lanes,), gw.dtype)
    # Rows past k in the last tile of rows may reach past the last vector: they get memory, not a meaning.
    w = empty((POSITIONS * step * (k_vectors + TILE_ROWS) * lanes,), gw.dtype)
    d = empty((slots * SLOT // gw.itemsize,), gw.dtype)
    squares = np.empty(tasks * 2 * POSITIONS, np.int64)
    lists_size = POSITIONS * (LIST_WORDS + TILE_ROWS)
    lists, ones = np.empty(tasks * lists_size, np.int64), np.ones(POSITIONS, np.int64)
    taps = np.empty(tasks * 9 * lanes, gw.dtype)
    for begin in range(0, tiles, step):
        count = min(step, tiles - begin)
        _transform(
            tasks, begin, count, *problem.input_size, p, q, *problem.padding, x_flat, x_row, c, panels,
            gy_flat, gy_row, k, zeros, v, w, squares,
        )  # fmt: skip
        _multiply(
            tasks, begin, count, begin + count == tiles, c, panels, k, v, w, d, whole_d,
            lists, lists_size, ones, taps, gw.reshape(-1),
        )  # fmt: skip
    return gw
