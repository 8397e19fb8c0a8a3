"""3x3 convolution with a quarter of the multiplications: Winograd's F(4x4, 3x3), forward and input gradient.

Each task takes a block of tiles through all three steps while they stay in its core's L2 cache:

    V[position, tile, c] = B^T x B of each tile              36 positions in the transformed square
    M[position, tile, k] = V[position] @ U[position]         36 products, for one panel of k at a time
    y = A^T M A                                              written to the image at once

so nothing transformed but the filter, U = G w G^T, ever reaches memory. The input gradient is the forward
over gy with the filter turned by 180 degrees. Rounding grows with the transforms: in float32 the
relative error of the norm is about 1e-6 where the direct method has 2e-7. What is not finite in a tile of the
input makes all 16 outputs of the tile NaN, also those whose windows do not meet it.
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
from ..cpu.tile import FROM_ZERO, LIST_WORDS, TILE_ROWS, TILE_VECTORS, lanes_of, multiply, packed_size, panels_of
from ..cpu.vectors import copy_spread
from . import forward, forward_relu, forward_statistics, input_gradient
from .output import result
from .problem import Conv2dProblem
from .reference import refuses_empty
from .winograd_transforms import (
    INPUT_TILE,
    OUTPUT_TILE,
    POSITIONS,
    list_square,
    transform_filter,
    transform_input,
    transform_output,
)

SMALL_BLOCK, LARGE_BLOCK = 900_000, 3_000_000  # bytes of V and M in a block of tiles
MOST_ROWS = 16  # tiles of a block, in units of TILE_ROWS
OUTPUTS = OUTPUT_TILE * OUTPUT_TILE


def refuses(problem: Conv2dProblem) -> str | None:
    if problem.filter_size != (3, 3) or problem.stride != (1, 1) or problem.dilation != (1, 1):
        return "it needs a 3x3 filter with stride 1 and dilation 1"
    return refuses_other_than_floats(problem) if problem.groups == 1 else "it needs groups=1"


def _priority(problem: Conv2dProblem, size: tuple[int, int]) -> int:
    """Above the direct method where there are tiles enough to pay for the transform of the filter.

    The figures are nanoseconds for a pair of channels, measured: 50 for the filter's transform, 0.65 for the
    products of a tile, 0.164 for the direct method's products of a pixel.
    """
    tiles = problem.batch * -(-size[0] // OUTPUT_TILE) * -(-size[1] // OUTPUT_TILE)
    return 40 if 50 + 0.65 * tiles < 0.164 * problem.batch * size[0] * size[1] else 15


@task_kernel
def _transform_filters(  # type: ignore[no-untyped-def]
    vector, vectors, w, start, tap_step, depth_step, column_step, depth, columns, panels, scratch, packed
):  # fmt: skip
    """U, packed in panels with the 36 positions as taps; see `pack_filter` for the strides of w."""
    lanes = lanes_of(w)
    panel = ((vector + 1) * panels - 1) // vectors
    first = vectors * panel // panels
    width = vectors * (panel + 1) // panels - first
    place = (POSITIONS * depth * first + vector - first) * VECTOR_BYTES
    taps = scratch.ctypes.data + vector * 9 * VECTOR_BYTES
    size, zero = w.itemsize, w.dtype.type(0)
    for d in range(depth):
        source = w.ctypes.data + (start + vector * lanes * column_step + d * depth_step) * size
        for t in range(9):
            copy_spread(
                zero, source + t * tap_step * size, column_step * size, taps + t * VECTOR_BYTES,
                columns - vector * lanes,
            )  # fmt: skip
        transform_filter(
            zero, taps, VECTOR_BYTES, packed.ctypes.data + place + d * width * VECTOR_BYTES,
            depth * width * VECTOR_BYTES, 0, lanes,
        )  # fmt: skip


@jit
def _list_products(rows, v, v_row, m, m_row, block, a_lists, c_lists):  # type: ignore[no-untyped-def]
    """The addresses of the 36 products of a block with `rows` times TILE_ROWS tiles."""
    for position in range(POSITIONS):
        for row in range(rows):
            index = position * rows + row
            for i in range(TILE_ROWS):
                tile = position * block + row * TILE_ROWS + i
                a_lists[index * LIST_WORDS + i] = v + tile * v_row
                c_lists[index * TILE_ROWS + i] = m + tile * m_row
            a_lists[index * LIST_WORDS + TILE_ROWS] = position


@task_kernel
def _convolve(  # type: ignore[no-untyped-def]
    task, tasks, images, height, width, p, q, top, left, x, x_row, depth, packed, columns, panels, bias, relu,
    zeros, junk, y, y_row, buffer, buffer_size, lists, lists_size, ones, block, moments,
):  # fmt: skip
    size, lanes = x.itemsize, lanes_of(x)
    down, across = (p + OUTPUT_TILE - 1) // OUTPUT_TILE, (q + OUTPUT_TILE - 1) // OUTPUT_TILE
    tiles = images * down * across
    units = (tiles + TILE_ROWS - 1) // TILE_ROWS
    vectors = (columns + lanes - 1) // lanes
    depth_vectors = (depth + lanes - 1) // lanes
    v_row, m_row = depth_vectors * VECTOR_BYTES, TILE_VECTORS * VECTOR_BYTES
    rows_of_block = block // TILE_ROWS
    v = buffer.ctypes.data + task * buffer_size * size
    m = v + POSITIONS * block * v_row
    a_lists = lists[task * lists_size :]
    c_lists = a_lists[POSITIONS * rows_of_block * LIST_WORDS :]
    targets = c_lists[POSITIONS * rows_of_block * TILE_ROWS :]
    sources = targets[block * OUTPUTS :]
    listed = 0
    if moments.size > 0:
        moments[task] = 0
    stop = units * (task + 1) // tasks
    for begin in range(units * task // tasks, stop, rows_of_block):
        rows = min(rows_of_block, stop - begin)
        if rows != listed:
            _list_products(rows, v, v_row, m, m_row, block, a_lists, c_lists)
            listed = rows
        first_tile = begin * TILE_ROWS
        count = min(rows * TILE_ROWS, tiles - first_tile)
        for t in range(count):
            image, place = divmod(first_tile + t, down * across)
            row, column = OUTPUT_TILE * (place // across), OUTPUT_TILE * (place % across)
            list_square(
                x, x_row, image, height, width, row - top, column - left, INPUT_TILE,
                zeros.ctypes.data, sources, 0,
            )  # fmt: skip
            list_square(y, y_row, image, p, q, row, column, OUTPUT_TILE, junk.ctypes.data, targets, t * OUTPUTS)
            for vector in range(depth_vectors):
                transform_input(
                    x, sources.ctypes.data, 0, v + t * v_row, block * v_row, vector * VECTOR_BYTES,
                    depth - vector * lanes,
                )  # fmt: skip
        for panel in range(panels):
            first, last = vectors * panel // panels, vectors * (panel + 1) // panels
            multiply(
                x, POSITIONS * rows, ones, 0, depth, a_lists.ctypes.data, LIST_WORDS * 8, 0, size,
                packed.ctypes.data, POSITIONS * depth, columns, panels, panel, panel + 1, FROM_ZERO, 0, 0,
                c_lists.ctypes.data, -first * VECTOR_BYTES, 0,
            )  # fmt: skip
            for t in range(count):
                for vector in range(first, last):
                    transform_output(
                        x, m + t * m_row - first * VECTOR_BYTES, block * m_row,
                        targets.ctypes.data + t * OUTPUTS * 8, 0, vector * VECTOR_BYTES,
                        columns - vector * lanes, bias.ctypes.data, relu,
                    )  # fmt: skip
        if moments.size > 0:
            for index in range(count * OUTPUTS):
                start = (targets[index] - y.ctypes.data) // size
                targets[index] = start if targets[index] != junk.ctypes.data else -1
            add_moments(y, targets, count * OUTPUTS, 0, columns, moments[task])


def _run(
    source: Array,
    padding: tuple[int, int],
    weight: Array,
    strides: tuple[int, int, int, int],
    bias: Array | None,
    y: Array,
    relu: bool = False,
    with_moments: bool = False,
) -> np.ndarray:
    """Convolve `source` into `y`; the moments of y (`cpu/moments.py`), if they are wanted.

    `strides` are those of the flat weight: start, tap, source channel, target channel.
    """
    if y.size == 0:
        return np.empty((0, KEPT, y.shape[1]))
    source = channels_last(source)
    flat, row = pixel_rows(source)
    (images, columns, p, q), (depth, height, width) = y.shape, source.shape[1:]
    lanes, tasks = VECTOR_BYTES // flat.itemsize, get_num_threads()
    vectors, depth_vectors = -(-columns // lanes), -(-depth // lanes)

    panels = panels_of(columns, 1, lanes)

    def transformed() -> Array:
        flat_weight = contiguous(weight).reshape(-1)
        packed = empty((packed_size(POSITIONS * depth, columns, lanes),), y.dtype)
        scratch = empty((vectors * 9 * lanes,), y.dtype)
        _transform_filters(vectors, flat_weight, *strides, depth, columns, panels, scratch, packed)
        return packed

    packed = form_of(weight, ("winograd", strides), transformed)

    units = -(-images * -(-p // OUTPUT_TILE) * -(-q // OUTPUT_TILE) // TILE_ROWS)
    tasks = min(tasks, units)
    unit_bytes = POSITIONS * TILE_ROWS * (depth_vectors + TILE_VECTORS) * VECTOR_BYTES
    # A block of 1 MB stays in the L2 cache; but every block reads all of U, so a large U asks for larger ones.
    block_bytes = max(SMALL_BLOCK, min(LARGE_BLOCK, packed.nbytes // 2))
    rows = max(1, min(MOST_ROWS, block_bytes // unit_bytes))
    rows = -(-units // (tasks * -(-units // (tasks * rows))))  # the same number of blocks, but even ones
    block = rows * TILE_ROWS
    buffer_size = rows * unit_bytes // flat.itemsize
    lists_size = POSITIONS * rows * (LIST_WORDS + TILE_ROWS) + block * OUTPUTS + POSITIONS
    moments = np.empty((tasks if with_moments else 0, KEPT, columns))
    _convolve(
        tasks, images, height, width, p, q, *padding, flat, row, depth, packed, columns, panels,
        np.zeros(columns, y.dtype) if bias is None else contiguous(bias), relu,
        np.zeros(depth_vectors * lanes, y.dtype), np.empty(vectors * lanes, y.dtype), *pixel_rows(y),
        empty((tasks * buffer_size,), y.dtype), buffer_size, np.empty(tasks * lists_size, np.int64), lists_size,
        np.ones(POSITIONS * rows, np.int64), block, moments,
    )  # fmt: skip
    return moments


@forward.variant(
    "winograd", device="cpu", only_launches=True, priority=lambda p: _priority(p, p.output_size), refuses=refuses
)
def forward_winograd(
    problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None, out: Array | None = None
) -> Array:
    return _forward(problem, x, weight, bias, out=out)[0]


@forward_statistics.variant(
    "winograd",
    device="cpu",
    only_launches=True,
    priority=lambda p: _priority(p, p.output_size),
    refuses=lambda p: refuses_empty(p) or refuses(p),
)
def forward_statistics_winograd(
    problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None
) -> tuple[Array, Array, Array]:
    y, moments = _forward(problem, x, weight, bias, with_moments=True)
    return y, *joined_moments(moments, y.size // y.shape[1])


@forward_relu.variant(
    "winograd", device="cpu", only_launches=True, priority=lambda p: _priority(p, p.output_size), refuses=refuses
)
def forward_relu_winograd(
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
    c = problem.in_channels
    return y, _run(x, problem.padding, weight, (0, 1, 9, 9 * c), bias, y, relu, with_moments)


@input_gradient.variant(
    "winograd", device="cpu", only_launches=True, priority=lambda p: _priority(p, p.input_size), refuses=refuses
)
def input_gradient_winograd(problem: Conv2dProblem, gy: Array, weight: Array) -> Array:
    gx = empty_channels_last(problem.input_shape, problem.dtype)
    (top, left), c = problem.padding, problem.in_channels
    _run(gy, (2 - top, 2 - left), weight, (8, -1, 9 * c, 9), None, gx)
    return gx
