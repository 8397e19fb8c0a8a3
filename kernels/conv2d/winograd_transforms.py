"""Winograd's minimal filtering F(4x4, 3x3): its transforms, and the loops that apply them to tiles.

A tile of 4x4 outputs y of a 3x3 filter w over a tile of 6x6 inputs x (Lavin and Gray, arXiv 1509.09308):

    y = A^T [ (G w G^T) * (B^T x B) ] A        36 multiplications where the direct method takes 144

The interpolation points are 0, 1, -1, 2, -2 and infinity. Each transform is written for one row of six, four or
three values and applied to the columns and then to the rows of the square.
"""

from __future__ import annotations

from ..cpu.jit import jit
from ..cpu.vectors import Expression, square_transform, transform_intrinsic

OUTPUT_TILE = 4
INPUT_TILE = 6
POSITIONS = INPUT_TILE * INPUT_TILE
Row = list[Expression]


def _input_row(x: Row) -> Row:
    """B^T x."""
    even, odd = x[4] - 4 * x[2], x[3] - 4 * x[1]
    near, far = x[4] - x[2], 2 * (x[3] - x[1])
    return [
        4 * x[0] - 5 * x[2] + x[4], even + odd, even - odd, near + far, near - far, 4 * x[1] - 5 * x[3] + x[5]
    ]  # fmt: skip


def _filter_row(w: Row) -> Row:
    """G w."""
    ends, middle = (-1 / 6) * (w[0] + w[2]), (-1 / 6) * w[1]
    far, far_middle = (1 / 24) * w[0] + (1 / 6) * w[2], (1 / 12) * w[1]
    return [0.25 * w[0], ends + middle, ends - middle, far + far_middle, far - far_middle, w[2]]


def _output_row(m: Row) -> Row:
    """A^T m."""
    near, far = m[1] + m[2], m[3] + m[4]
    near_odd, far_odd = m[1] - m[2], m[3] - m[4]
    return [m[0] + near + far, near_odd + 2 * far_odd, near + 4 * far, near_odd + 8 * far_odd + m[5]]


def _output_gradient_row(gy: Row) -> Row:
    """A gy, the transpose of the output's transform."""
    even, odd = gy[0] + gy[2], gy[1] + gy[3]
    far, far_odd = gy[0] + 4 * gy[2], 2 * gy[1] + 8 * gy[3]
    return [gy[0], even + odd, even - odd, far + far_odd, far - far_odd, gy[3]]


def _filter_gradient_row(m: Row) -> Row:
    """G^T m, the transpose of the filter's transform."""
    near, far = (-1 / 6) * (m[1] + m[2]), m[3] + m[4]
    return [
        0.25 * m[0] + near + (1 / 24) * far,
        (1 / 6) * (m[2] - m[1]) + (1 / 12) * (m[3] - m[4]),
        near + (1 / 6) * far + m[5],
    ]


transform_input = transform_intrinsic(square_transform(_input_row, 6), 36, gather=True)
transform_filter = transform_intrinsic(square_transform(_filter_row, 3), 9)
transform_output = transform_intrinsic(square_transform(_output_row, 6), 36, scatter=True, biased=True)
transform_output_gradient = transform_intrinsic(square_transform(_output_gradient_row, 4), 16, gather=True)
transform_filter_gradient = transform_intrinsic(square_transform(_filter_gradient_row, 6), 36)


@jit
def list_square(x, x_row, image, height, width, top, left, extent, outside, addresses, place):  # type: ignore[no-untyped-def]
    """Write the addresses of a square of `extent` pixels a side; `outside` where it leaves the image."""
    row_bytes = x_row * x.itemsize
    base = x.ctypes.data + image * height * width * row_bytes
    for i in range(extent):
        h = top + i
        inside = 0 <= h < height
        line = base + h * width * row_bytes
        for j in range(extent):
            w = left + j
            addresses[place + i * extent + j] = line + w * row_bytes if inside and 0 <= w < width else outside
