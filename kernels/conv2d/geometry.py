"""Which element of the source a filter tap meets, for a convolution and for its transpose.

Tap (r, s) of target pixel (p, q) meets source row (p * stride + origin + r * dilation) / step, likewise the column, where
the division leaves no rest. The forward has step 1. The input gradient gathers from gy, its filter turned by
180 degrees: stride 1, and step = the forward's stride, since only every step-th row of gx faces the middle
of a window (Dumoulin and Visin, arXiv 1603.07285, section 4).
"""

from __future__ import annotations

from .problem import Conv2dProblem

# source height and width, target height and width, taps down and across, then stride, origin, dilation, step, each two
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
