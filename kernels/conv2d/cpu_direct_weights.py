"""The weight gradient of any convolution, as one matrix product over blocks of pixels.

    gw[k, (r, s, c)] = sum over pixels of gy[pixel, k] * x[pixel that tap (r, s) meets, c]

A task walks through its pixels in blocks that fit the caches. It packs a block's gy and windows in the order
in which `cpu/tile.py` reads them, once, for the many tiles of sums that use them, and adds the products to its own
part of the gradient. The parts are added up in order at the end: the same number of threads gives the same bits.
Where a pixel has fewer channels than a vector has lanes (the network's first layer), the adjacent pixels of a
filter row are packed together.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..cpu.buffers import channels_last, empty, pixel_rows
from ..cpu.floats import refuses_other_than_floats
from ..cpu.jit import get_num_threads, jit
from ..cpu.processor import VECTOR_BYTES
from ..cpu.tasks import task_kernel
from ..cpu.tile import FROM_STORED, FROM_ZERO, LIST_WORDS, TILE_ROWS, lanes_of, multiply, panels_of
from ..cpu.vectors import transform_intrinsic, word_at
from . import weight_gradient
from .geometry import forward_geometry, joins_row
from .problem import Conv2dProblem

PIXELS = 120  # pixels of a block: a panel of windows then fits the L1 cache

_copy_vector = transform_intrinsic(lambda values: values, 1)


@jit
def _list_columns(vectors, panels, count, base, places):  # type: ignore[no-untyped-def]
    """For each vector of columns: its address for the block's first pixel, and the step to the next pixel."""
    for panel in range(panels):
        first, last = vectors * panel // panels, vectors * (panel + 1) // panels
        for vector in range(first, last):
            places[2 * vector] = base + (count * first + vector - first) * VECTOR_BYTES
            places[2 * vector + 1] = (last - first) * VECTOR_BYTES


@jit
def _pack_run(zero, lanes, source, elements, places, t):  # type: ignore[no-untyped-def]
    """Copy `elements` elements from address `source` to pixel t's columns, listed from address `places` on."""
    while elements >= lanes:
        _copy_vector(zero, source, 0, word_at(places) + t * word_at(places + 8), 0, 0, VECTOR_BYTES)
        source += VECTOR_BYTES
        places += 16
        elements -= lanes
    if elements > 0:
        _copy_vector(zero, source, 0, word_at(places) + t * word_at(places + 8), 0, 0, elements)


@jit
def _pack_windows(geometry, x, x_row, first_channel, run, joined, start, count, places, edge):  # type: ignore[no-untyped-def]
    """The windows of pixels start .. start+count; `edge` is scratch for a run of which a part lies outside."""
    height, width, p, q, r_taps, s_taps = geometry[:6]
    stride_h, stride_w, origin_h, origin_w, dilation_h, dilation_w = geometry[6:12]
    lanes, size = lanes_of(x), x.itemsize
    row_taps, pixels_of_run = (1, s_taps) if joined else (s_taps, 1)
    run_vectors = (run + lanes - 1) // lanes
    image, position = start // (p * q), start % (p * q)
    row, column = position // q, position % q
    x_base, edge_base, zero = x.ctypes.data, edge.ctypes.data, x.dtype.type(0)
    for t in range(count):
        top, left = row * stride_h + origin_h, column * stride_w + origin_w
        place = places
        for r in range(r_taps):
            h = top + r * dilation_h
            for s in range(row_taps):
                w = left + s * dilation_w
                source = ((image * height + h) * width + w) * x_row + first_channel
                if 0 <= h < height and w >= 0 and w + pixels_of_run <= width:
                    _pack_run(zero, lanes, x_base + source * size, run, place, t)
                else:
                    for element in range(run):
                        w_element = w + element // x_row if joined else w
                        if 0 <= h < height and 0 <= w_element < width:
                            edge[element] = x[source + element]
                        else:
                            edge[element] = 0
                    _pack_run(zero, lanes, edge_base, run, place, t)
                place += run_vectors * 16
        column += 1
        if column == q:
            column = 0
            row += 1
            if row == p:
                row = 0
                image += 1


@task_kernel
def _accumulate(  # type: ignore[no-untyped-def]
    task, tasks, geometry, pixels, x, x_row, c, joined, gy, gy_row, k, groups, panels, buffer, buffer_size, a_size,
    parts, lists, lists_size, ones, block,
):  # fmt: skip
    size, lanes = x.itemsize, lanes_of(x)
    r_taps, s_taps = geometry[4], geometry[5]
    run = c * (s_taps if joined else 1)
    run_vectors = (run + lanes - 1) // lanes
    columns = r_taps * (1 if joined else s_taps) * run_vectors * lanes
    k_vectors, k_rows = (k + lanes - 1) // lanes, (k + TILE_ROWS - 1) // TILE_ROWS
    group_part = k_rows * TILE_ROWS * columns
    blocks = (pixels + block - 1) // block
    packed = buffer[task * buffer_size :]
    a_base = packed.ctypes.data
    b_base = a_base + a_size * size
    edge = packed[a_size + columns * block :]
    a_lists = lists[task * lists_size :]
    c_lists = a_lists[k_rows * LIST_WORDS :]
    gy_places = c_lists[k_rows * TILE_ROWS :]
    x_places = gy_places[2 * k_vectors :]
    gy_base, gy_places_base, zero = gy.ctypes.data, gy_places.ctypes.data, x.dtype.type(0)
    first_block, last_block = blocks * task // tasks, blocks * (task + 1) // tasks
    for index in range(first_block, last_block):
        start = index * block
        count = min(block, pixels - start)
        _list_columns(k_vectors, k_vectors, count, a_base, gy_places)
        _list_columns(columns // lanes, panels, count, b_base, x_places)
        for k_row in range(k_rows):
            for i in range(TILE_ROWS):
                channel = k_row * TILE_ROWS + i
                element = channel // lanes * count * lanes + channel % lanes
                a_lists[k_row * LIST_WORDS + i] = a_base + element * size
                c_lists[k_row * TILE_ROWS + i] = (
                    parts.ctypes.data + (task * groups * group_part + channel * columns) * size
                )
            a_lists[k_row * LIST_WORDS + TILE_ROWS] = 0
        for group in range(groups):
            for t in range(count):
                source = gy_base + ((start + t) * gy_row + group * k) * size
                _pack_run(zero, lanes, source, k, gy_places_base, t)
            _pack_windows(geometry, x, x_row, group * c, run, joined, start, count, x_places.ctypes.data, edge)
            multiply(
                x, k_rows, ones, 0, count, a_lists.ctypes.data, LIST_WORDS * 8, 0, VECTOR_BYTES, b_base, count,
                columns, panels, 0, panels, FROM_STORED if index > first_block else FROM_ZERO, 0, 0,
                c_lists.ctypes.data, group * group_part * size, 0,
            )  # fmt: skip


@task_kernel
def _sum_parts(task, tasks, geometry, c, joined, k, groups, run_vectors, columns, part_count, parts, gw):  # type: ignore[no-untyped-def]
    """gw = the sum of the parts, in order; a task takes a range of output channels."""
    r_taps, s_taps = geometry[4], geometry[5]
    k_rows = (k + TILE_ROWS - 1) // TILE_ROWS
    group_part = k_rows * TILE_ROWS * columns
    lanes = lanes_of(parts)
    for row in range(groups * k * task // tasks, groups * k * (task + 1) // tasks):
        place = (row // k * k_rows * TILE_ROWS + row % k) * columns
        for part in range(part_count):
            start = part * groups * group_part + place
            for r in range(r_taps):
                for s in range(s_taps):
                    if joined:
                        source = start + r * run_vectors * lanes + s * c
                    else:
                        source = start + (r * s_taps + s) * run_vectors * lanes
                    target = row * c * r_taps * s_taps + r * s_taps + s
                    for channel in range(c):
                        if part == 0:
                            gw[target + channel * r_taps * s_taps] = parts[source + channel]
                        else:
                            gw[target + channel * r_taps * s_taps] += parts[source + channel]


@weight_gradient.variant(
    "direct", device="cpu", only_launches=True, priority=20, refuses=refuses_other_than_floats
)
def weight_gradient_direct(problem: Conv2dProblem, x: Array, gy: Array) -> Array:
    if problem.batch == 0:
        return np.zeros(problem.weight_shape, problem.dtype)
    gw = empty(problem.weight_shape, problem.dtype)
    (x_flat, x_row), (gy_flat, gy_row) = pixel_rows(channels_last(x)), pixel_rows(channels_last(gy))
    groups, (_, c, r, s), (p, q) = problem.groups, gw.shape, problem.output_size
    k, lanes = gw.shape[0] // groups, VECTOR_BYTES // gw.itemsize
    joined = joins_row(problem, x_row, lanes)
    vectors = r * -(-s * c // lanes) if joined else r * s * -(-c // lanes)
    panels = panels_of(vectors * lanes, 1, lanes)
    k_vectors, k_rows = -(-k // lanes), -(-k // TILE_ROWS)

    pixels, tasks = problem.batch * p * q, get_num_threads()
    block = max(1, min(PIXELS, -(-pixels // tasks)))
    tasks = min(tasks, -(-pixels // block))
    # Rows past k in the last tile of rows may reach past the last vector of gy: they get memory, not a meaning.
    a_size = (k_vectors + TILE_ROWS) * block * lanes
    buffer_size = a_size + vectors * block * lanes + (-(-s * c // lanes) + 1) * lanes
    lists_size = k_rows * (LIST_WORDS + TILE_ROWS) + 2 * (k_vectors + vectors)
    geometry = forward_geometry(problem)
    parts = empty((tasks * groups * k_rows * TILE_ROWS * vectors * lanes,), gw.dtype)
    _accumulate(
        tasks, geometry, pixels, x_flat, x_row, c, joined, gy_flat, gy_row, k, groups, panels,
        empty((tasks * buffer_size,), gw.dtype), buffer_size, a_size,
        parts,
        np.empty(tasks * lists_size, np.int64), lists_size, np.ones(k_rows, np.int64),
        block,
    )  # fmt: skip
    run_vectors = vectors // (r if joined else r * s)
    _sum_parts(tasks, geometry, c, joined, k, groups, run_vectors, vectors * lanes, tasks, parts, gw.reshape(-1))
    return gw
