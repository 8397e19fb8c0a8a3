"""The definition of right: one tensor contraction over a strided view of the windows."""

from __future__ import annotations

from ..arrays import Array, array_module
from . import forward, forward_relu, forward_statistics, input_gradient, weight_gradient
from .problem import Conv2dProblem


def _windows(problem: Conv2dProblem, padded: Array) -> Array:
    """View (N, G, C/G, R, S, P, Q) of the padded input: the element each filter tap meets, without a copy."""
    xp = array_module(padded)
    (n, _, _, _), (r, s), (p, q), g = padded.shape, problem.filter_size, problem.output_size, problem.groups
    stride_n, stride_c, stride_h, stride_w = padded.strides
    channels = problem.in_channels // g
    return xp.lib.stride_tricks.as_strided(
        padded,
        (n, g, channels, r, s, p, q),
        (
            stride_n,
            stride_c * channels,
            stride_c,
            stride_h * problem.dilation[0],
            stride_w * problem.dilation[1],
            stride_h * problem.stride[0],
            stride_w * problem.stride[1],
        ),
    )


def _wide(array: Array) -> Array:
    """16-bit numbers as float32, in which they are summed up; others as they are."""
    return array.astype("float32") if array.dtype.itemsize == 2 else array


def _pad(problem: Conv2dProblem, x: Array) -> Array:
    (top, left) = problem.padding
    return array_module(x).pad(x, ((0, 0), (0, 0), (top, top), (left, left)))


def _by_group(problem: Conv2dProblem, array: Array, axis: int) -> Array:
    """Split `axis` (channels) into (groups, channels of a group)."""
    shape = array.shape
    return array.reshape(*shape[:axis], problem.groups, shape[axis] // problem.groups, *shape[axis + 1 :])


@forward.variant("reference", device="any")
def forward_reference(problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None) -> Array:
    xp = array_module(x)
    windows, weight = _windows(problem, _pad(problem, _wide(x))), _wide(weight)
    # n batch, g group, c and k its input and output channels, r s filter, p q output position
    y = xp.einsum("ngcrspq,gkcrs->ngkpq", windows, _by_group(problem, weight, 0), optimize=True)
    y = y.reshape(problem.output_shape)
    y = y if bias is None else y + bias.reshape(-1, 1, 1)
    return y.astype(x.dtype, copy=False)


@forward_relu.variant("reference", device="any")
def forward_relu_reference(problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None) -> Array:
    return array_module(x).maximum(forward_reference(problem, x, weight, bias), 0)


def refuses_empty(problem: Conv2dProblem) -> str | None:
    """Statistics need values."""
    return None if problem.batch else "a batch without images has no mean and variance"


@forward_statistics.variant("reference", device="any", refuses=refuses_empty)
def forward_statistics_reference(
    problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None
) -> tuple[Array, Array, Array]:
    xp, y = array_module(x), forward_reference(problem, x, weight, bias)
    dtype = xp.float64 if problem.dtype == "float64" else xp.float32
    wide = y.astype(xp.float64)
    return y, wide.mean((0, 2, 3)).astype(dtype), wide.var((0, 2, 3)).astype(dtype)


@input_gradient.variant("reference", device="any")
def input_gradient_reference(problem: Conv2dProblem, gy: Array, weight: Array) -> Array:
    xp = array_module(gy)
    (top, left), (height, width) = problem.padding, problem.input_size
    dtype, gy, weight = gy.dtype, _by_group(problem, _wide(gy), 1), _by_group(problem, _wide(weight), 0)
    padded = xp.zeros((problem.batch, problem.in_channels, height + 2 * top, width + 2 * left), gy.dtype)
    windows = _windows(problem, padded)
    for r in range(problem.filter_size[0]):  # two taps may meet one input element, so they add up one by one
        for s in range(problem.filter_size[1]):
            windows[:, :, :, r, s] += xp.einsum("ngkpq,gkc->ngcpq", gy, weight[..., r, s], optimize=True)
    return padded[:, :, top : top + height, left : left + width].astype(dtype, copy=False)


@weight_gradient.variant("reference", device="any")
def weight_gradient_reference(problem: Conv2dProblem, x: Array, gy: Array) -> Array:
    xp = array_module(x)
    windows = _windows(problem, _pad(problem, _wide(x)))
    gweight = xp.einsum("ngcrspq,ngkpq->gkcrs", windows, _by_group(problem, _wide(gy), 1), optimize=True)
    return xp.ascontiguousarray(gweight.reshape(problem.weight_shape).astype(x.dtype, copy=False))
