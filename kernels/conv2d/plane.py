"""A batch of padded images as one row of positions, so that a tap is a fixed distance.

Rows of `width + padding` positions follow each other, `height + padding` of them an image: the padding after a
row serves as the one before the next. Output (p, q) of image n stands at the position of its window's first
tap, and every tap (r, s) meets the position r * row + s further on. Some positions are no output: between a row's
last window and its end. Their sums are computed and thrown away, a twelfth for 28x28 images and a quarter
for 7x7.
"""

from __future__ import annotations

from ..cpu.jit import jit
from .problem import Conv2dProblem

# images; height and width of the source and of the target; filter's height and width; padding
Plane = tuple[int, ...]


def obstacle_to_plane(problem: Conv2dProblem) -> str | None:
    """Why the taps of a convolution or of its input gradient are no fixed distances, or None."""
    if problem.stride != (1, 1) or problem.dilation != (1, 1):
        return "it needs stride 1 and dilation 1"
    if any(padding >= extent for padding, extent in zip(problem.padding, problem.filter_size, strict=True)):
        return f"it needs a padding smaller than the filter, not {problem.padding} for {problem.filter_size}"
    return None if problem.groups == 1 else "it needs groups=1"


def forward_plane(problem: Conv2dProblem) -> Plane:
    return (problem.batch, *problem.input_size, *problem.output_size, *problem.filter_size, *problem.padding)


def transposed_plane(problem: Conv2dProblem) -> Plane:
    """The plane of gy, in which the input gradient is a convolution with the filter turned by 180 degrees."""
    padding = (extent - 1 - before for extent, before in zip(problem.filter_size, problem.padding, strict=True))
    return (problem.batch, *problem.output_size, *problem.input_size, *problem.filter_size, *padding)


def row_of(plane: Plane) -> int:
    """Positions of a padded row."""
    return plane[2] + plane[8]


def reach_of(plane: Plane) -> int:
    """How much further than its own position an output looks."""
    return (plane[5] - 1) * row_of(plane) + plane[6] - 1


def positions_of(plane: Plane) -> int:
    """Up to the last position that may be an output."""
    return plane[0] * (plane[1] + plane[7]) * row_of(plane)


@jit
def place_of(plane, position):  # type: ignore[no-untyped-def]
    """Image, row and column of a position in the padded images."""
    row = plane[2] + plane[8]
    image_rows = plane[1] + plane[7]
    line = position // row
    return line // image_rows, line % image_rows, position - line * row


@jit
def source_pixel(plane, image, line, column):  # type: ignore[no-untyped-def]
    """The pixel of the source at a padded row and column, or -1 in the padding."""
    h, w = line - plane[7], column - plane[8]
    if h < 0 or w < 0 or image >= plane[0]:
        return -1
    return (image * plane[1] + h) * plane[2] + w


@jit
def target_pixel(plane, image, line, column):  # type: ignore[no-untyped-def]
    """The pixel of the target whose window begins at a padded row and column, or -1."""
    if line >= plane[3] or column >= plane[4] or image >= plane[0]:
        return -1
    return (image * plane[3] + line) * plane[4] + column


@jit
def next_place(plane, image, line, column):  # type: ignore[no-untyped-def]
    column += 1
    if column == plane[2] + plane[8]:
        column = 0
        line += 1
        if line == plane[1] + plane[7]:
            line = 0
            image += 1
    return image, line, column
