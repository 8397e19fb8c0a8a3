"""Any convolution as one matrix product over pixels, without copying windows.

    y[pixel, k] = sum over taps (r, s) and channels c of x[pixel that the tap meets, c] * w[(r, s), c, k]

`cpu/tile.py` multiplies rows that lie anywhere in memory, so each tile of pixels gets a list of the addresses
that each tap meets, and a row of zeros where a tap leaves the image (the indirect convolution algorithm:
Dukhan, arXiv 1907.02129). Taps that meet nothing but zeros for the whole tile are left out. The input gradient
is the same gather over gy. A 1x1 convolution is the case of one tap: a plain matrix product. Where a pixel has
fewer channels than a vector has lanes (a network's first layer), a tap takes a whole filter row.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..cpu.buffers import channels_last, contiguous, empty, empty_channels_last, pixel_rows
from ..cpu.floats import refuses_other_than_floats
from ..cpu.frozen import form_of
from ..cpu.jit import get_num_threads, jit
from ..cpu.moments import KEPT, add_moments, joined_moments
from ..cpu.processor import VECTOR_BYTES
from ..cpu.tasks import task_kernel
from ..cpu.tile import (
    FROM_INITIAL,
    FROM_ZERO,
    LIST_WORDS,
    TILE_ROWS,
    compiled_packed_size,
    lanes_of,
    multiply,
    pack_vector,
    packed_size,
    panels_of,
)
from . import forward, forward_relu, forward_statistics, input_gradient
from .geometry import Geometry, forward_geometry, joins_row, transposed_geometry
from .output import result
from .problem import Conv2dProblem
from .reference import refuses_empty

CHUNK_TILES = 16  # tiles of pixels that share a panel of the filter while it is in the L1 cache
ONE_THREAD = 4_000_000  # multiply-adds, some 60 microseconds: about what waking another thread costs
SMALL_MAP = 64  # pixels of an image up to which tiles run across images, so that whole taps fall outside


def refuses_statistics(problem: Conv2dProblem) -> str | None:
    return refuses_empty(problem) or refuses_other_than_floats(problem)


@task_kernel
def pack_filter(  # type: ignore[no-untyped-def]
    index, indices, w, start, group_step, tap_step, depth_step, column_step, groups, taps, depth, columns,
    panels, packed,
):  # fmt: skip
    """For each group, the panels of B[t, d, column] = w[start + group*group_step + t*tap_step + ...]."""
    lanes = lanes_of(w)
    vectors = (columns + lanes - 1) // lanes
    size = compiled_packed_size(taps * depth, columns, lanes)
    group, vector = index // vectors, index % vectors
    pack_vector(
        vector, vectors, panels, w, start + group * group_step, tap_step, depth_step, column_step,
        taps, depth, columns, packed, group * size,
    )  # fmt: skip


@jit
def _list_tile(  # type: ignore[no-untyped-def]
    geometry, run, images, across_images, first, pixels, x, x_row, zeros, a_list, y, y_row, c_list, corners, edges
):  # fmt: skip
    """List the addresses of the tile of pixels from `first` on; returns the number of taps that meet the image.

    A tap takes `run` adjacent pixels; where a part of them lies outside, they are copied to `edges`.
    """
    height, width, p, q, r_taps, s_taps = geometry[:6]
    stride_h, stride_w, origin_h, origin_w, dilation_h, dilation_w, step_h, step_w = geometry[6:]
    x_bytes, y_bytes = x_row * x.itemsize, y_row * x.itemsize
    x_base, y_base, edges_base = x.ctypes.data, y.ctypes.data, edges.ctypes.data
    if across_images:
        image, position = first % images, first // images
    else:
        image, position = first // (p * q), first % (p * q)
    row, column = position // q, position % q
    for i in range(TILE_ROWS):
        c_list[i] = y_base + ((image * p + row) * q + column) * y_bytes
        corners[3 * i] = row * stride_h + origin_h
        corners[3 * i + 1] = column * stride_w + origin_w
        corners[3 * i + 2] = x_base + image * height * width * x_bytes
        if first + i + 1 < pixels:  # past the end the last pixel is computed again
            if across_images:
                image += 1
                if image == images:
                    image = 0
                    column += 1
            else:
                column += 1
            if column == q:
                column = 0
                row += 1
                if row == p:
                    row = 0
                    image += 1
    live = 0
    for r in range(r_taps):
        for s in range(s_taps):
            place = live * LIST_WORDS
            meets = False
            for i in range(TILE_ROWS):
                h = corners[3 * i] + r * dilation_h
                w = corners[3 * i + 1] + s * dilation_w
                if step_h != 1 or step_w != 1:
                    inside = h % step_h == 0 and w % step_w == 0
                    h, w = h // step_h, w // step_w
                else:
                    inside = True
                inside = inside and 0 <= h < height
                if inside and w >= 0 and w + run <= width:
                    a_list[place + i] = corners[3 * i + 2] + (h * width + w) * x_bytes
                    meets = True
                elif inside and run > 1:
                    edge = (r * TILE_ROWS + i) * run * x_row
                    source = (corners[3 * i + 2] - x_base) // x.itemsize + (h * width + w) * x_row
                    for j in range(run):
                        for channel in range(x_row):
                            value = x[source + j * x_row + channel] if 0 <= w + j < width else x.dtype.type(0)
                            edges[edge + j * x_row + channel] = value
                    a_list[place + i] = edges_base + edge * x.itemsize
                    meets = True
                else:
                    a_list[place + i] = zeros
            if meets:
                a_list[place + TILE_ROWS] = r * s_taps + s
                live += 1
    if live == 0:  # zeros times the first tap, so that the tile is written
        a_list[TILE_ROWS] = 0
        live = 1
    return live


@task_kernel
def _convolve(  # type: ignore[no-untyped-def]
    task, tasks, geometry, run, images, across_images, x, x_row, depth, packed, columns, groups, panels,
    bias, has_bias, relu, zeros, y, y_row, scratch, edges, counts, row_tasks, column_tasks, moments,
):  # fmt: skip
    taps = geometry[4] * geometry[5]
    pixels = images * geometry[2] * geometry[3]
    tiles = (pixels + TILE_ROWS - 1) // TILE_ROWS
    list_words = taps * LIST_WORDS
    size, lanes = x.itemsize, lanes_of(x)
    group_bytes = compiled_packed_size(taps * depth, columns, lanes) * size
    edges_of_tile = taps * TILE_ROWS * depth if run > 1 else 0
    ahead = 0 if across_images or groups > 1 else TILE_ROWS * geometry[7] * x_row * size
    words = CHUNK_TILES * (list_words + TILE_ROWS) + 3 * TILE_ROWS
    row_task, column_task = task // column_tasks, task % column_tasks
    if moments.size > 0:
        moments[task] = 0
    first_panel = panels * column_task // column_tasks
    last_panel = panels * (column_task + 1) // column_tasks
    a_lists = scratch[task * words :]
    c_lists = a_lists[CHUNK_TILES * list_words :]
    corners = c_lists[CHUNK_TILES * TILE_ROWS :]
    stop = tiles * (row_task + 1) // row_tasks
    for begin in range(tiles * row_task // row_tasks, stop, CHUNK_TILES):
        count = min(CHUNK_TILES, stop - begin)
        for index in range(count):
            counts[task * CHUNK_TILES + index] = _list_tile(
                geometry, run, images, across_images, (begin + index) * TILE_ROWS, pixels, x, x_row,
                zeros.ctypes.data, a_lists[index * list_words :], y, y_row, c_lists[index * TILE_ROWS :],
                corners, edges[(task * CHUNK_TILES + index) * edges_of_tile :],
            )  # fmt: skip
        for group in range(groups):
            multiply(
                x, count, counts, task * CHUNK_TILES, depth, a_lists.ctypes.data, list_words * 8,
                group * depth * size, size, packed.ctypes.data + group * group_bytes, taps * depth,
                columns, panels, first_panel, last_panel, FROM_INITIAL if has_bias else FROM_ZERO,
                bias.ctypes.data + group * columns * size, relu, c_lists.ctypes.data, group * columns * size,
                ahead,
            )  # fmt: skip
        if moments.size > 0:
            vectors = (columns + lanes - 1) // lanes
            first_column = vectors * first_panel // panels * lanes
            last_column = groups * columns if last_panel == panels else vectors * last_panel // panels * lanes
            written = min(count * TILE_ROWS, pixels - begin * TILE_ROWS)
            for index in range(written):
                c_lists[index] = (c_lists[index] - y.ctypes.data) // size
            add_moments(y, c_lists, written, first_column, last_column, moments[task])


def _run(
    geometry: Geometry,
    source: Array,
    weight: Array,
    strides: tuple[int, int, int, int, int],
    bias: Array | None,
    y: Array,
    groups: int,
    run: int = 1,
    relu: bool = False,
    with_moments: bool = False,
) -> np.ndarray:
    """Gather `source` into `y`, `run` pixels a tap; the moments of y (`cpu/moments.py`), if they are wanted.

    `strides` are those of the flat weight: start, group, tap, source channel, target channel. Where `run` is
    more than one, source channels come last in it, else the taps.
    """
    flat, row = pixel_rows(source)
    images, k, height, width = y.shape
    if y.size == 0:
        return np.empty((0, KEPT, k))
    depth, columns, taps = source.shape[1] // groups * run, k // groups, geometry[4] * geometry[5]
    work = images * k * height * width * taps * depth
    threads, lanes = get_num_threads() if work > ONE_THREAD else 1, VECTOR_BYTES // flat.itemsize
    tiles = -(-images * height * width // TILE_ROWS)
    # Few pixels do not divide evenly into tiles for each thread; then the threads share out the columns.
    by_columns = groups == 1 and tiles < 8 * threads
    panels = panels_of(columns, threads if by_columns else 1, lanes)
    column_tasks = min(threads, panels) if by_columns else 1
    row_tasks = max(1, threads // column_tasks)

    def packed_panels() -> Array:
        flat_weight = contiguous(weight if run == 1 else weight.transpose(0, 2, 3, 1)).reshape(-1)
        packed = empty((groups * packed_size(taps * depth, columns, lanes),), y.dtype)
        tasks = groups * -(-columns // lanes)
        pack_filter(tasks, flat_weight, *strides, groups, taps, depth, columns, panels, packed)
        return packed

    packed = form_of(weight, ("direct", strides, panels), packed_panels)

    tasks = row_tasks * column_tasks
    scratch = np.empty(tasks * (CHUNK_TILES * (taps * LIST_WORDS + TILE_ROWS) + 3 * TILE_ROWS), np.int64)
    edges = empty((tasks * CHUNK_TILES * taps * TILE_ROWS * depth if run > 1 else 0,), y.dtype)
    counts = np.empty(tasks * CHUNK_TILES, np.int64)
    moments = np.empty((tasks if with_moments else 0, KEPT, k))
    _convolve(
        tasks, geometry, run, images, images >= TILE_ROWS and 1 < height * width <= SMALL_MAP and taps > 1,
        flat, row, depth, packed, columns, groups, panels,
        packed if bias is None else contiguous(bias), bias is not None, relu,
        np.zeros(max(depth, source.shape[1]), y.dtype), *pixel_rows(y), scratch, edges, counts,
        row_tasks, column_tasks, moments,
    )  # fmt: skip
    return moments


@forward.variant("direct", device="cpu", only_launches=True, priority=20, refuses=refuses_other_than_floats)
def forward_direct(
    problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None, out: Array | None = None
) -> Array:
    return _forward(problem, x, weight, bias, out=out)[0]


@forward_statistics.variant("direct", device="cpu", only_launches=True, priority=20, refuses=refuses_statistics)
def forward_statistics_direct(
    problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None
) -> tuple[Array, Array, Array]:
    y, moments = _forward(problem, x, weight, bias, with_moments=True)
    return y, *joined_moments(moments, y.size // y.shape[1])


@forward_relu.variant("direct", device="cpu", only_launches=True, priority=20, refuses=refuses_other_than_floats)
def forward_relu_direct(
    problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None, out: Array | None = None
) -> Array:
    return _forward(problem, x, weight, bias, relu=True, out=out)[0]


def _forward(
    problem: Conv2dProblem,
    x: Array,
    weight: Array,
    bias: Array | None,
    relu: bool = False,
    with_moments: bool = False,
    out: Array | None = None,
) -> tuple[Array, np.ndarray]:
    y = result(problem.output_shape, x, out)
    k, c, r, s = problem.weight_shape
    geometry, x = forward_geometry(problem), channels_last(x)
    if joins_row(problem, pixel_rows(x)[1], VECTOR_BYTES // y.itemsize):
        geometry = (*geometry[:5], 1, *geometry[6:])
        strides = (0, 0, s * c, 1, r * s * c)
        return y, _run(geometry, x, weight, strides, bias, y, 1, s, relu, with_moments)
    strides = (0, k // problem.groups * c * r * s, 1, r * s, c * r * s)
    return y, _run(geometry, x, weight, strides, bias, y, problem.groups, 1, relu, with_moments)


@input_gradient.variant("direct", device="cpu", only_launches=True, priority=20, refuses=refuses_other_than_floats)
def input_gradient_direct(problem: Conv2dProblem, gy: Array, weight: Array) -> Array:
    gx = empty_channels_last(problem.input_shape, problem.dtype)
    k, c, r, s = problem.weight_shape
    strides = (r * s - 1, k // problem.groups * c * r * s, -1, c * r * s, r * s)
    _run(transposed_geometry(problem), channels_last(gy), weight, strides, None, gx, problem.groups)
    return gx
