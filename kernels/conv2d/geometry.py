"""Which element of the source a filter tap meets, for a convolution and for its transpose.

Tap (r, s) of target pixel (p, q) meets source row (p * stride + origin + r * dilation) / step, and likewise its
column, where the division leaves no rest. The forward has step 1. The input gradient gathers from gy, its filter
turned by 180 degrees: stride 1, and step = the forward's stride, since only every step-th row of gx faces the
middle of a window (Dumoulin and Visin, arXiv 1603.07285, section 4).
"""

from __future__ import annotations

from .problem import Conv2dProblem

# height and width of: source, target, taps, stride, origin, dilation, step
Geometry = tuple[int, ...]


def forward_geometry(problem: Conv2dProblem) -> Geometry:
    """The gather over x that gives y."""
    return (
        *problem.input_size, *problem.output_size, *problem.filter_size,
        *problem.stride, -problem.padding[0], -problem.padding[1], *problem.dilation, 1, 1,
    )  # fmt: skip


def transposed_geometry(problem: Conv2dProblem) -> Geometry:
    """The gather over gy that gives gx, with the filter turned by 180 degrees."""
    origin = (
        padding - dilation * (extent - 1)
        for padding, dilation, extent in zip(problem.padding, problem.dilation, problem.filter_size, strict=True)
    )
    return (
        *problem.output_size, *problem.input_size, *problem.filter_size,
        1, 1, *origin, *problem.dilation, *problem.stride,
    )  # fmt: skip


def joins_row(problem: Conv2dProblem, x_row: int, lanes: int) -> bool:
    """Whether a filter row's pixels, adjacent in memory, are better taken as one run of S*C channels.

    So it is where a pixel has fewer channels than a vector has `lanes`, as in a network's first layer. `x_row` is
    the distance from one pixel to the next, in elements.
    """
    adjacent = problem.dilation[1] == 1 and problem.groups == 1 and x_row == problem.in_channels
    return adjacent and problem.filter_size[1] > 1 and problem.in_channels < lanes
