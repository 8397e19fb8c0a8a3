"""The definition of right: one strided slice of the padded input a tap, and sums of slices for averages."""

from __future__ import annotations

from collections.abc import Iterator

from ..arrays import Array, array_module
from . import (
    adaptive_average_forward,
    adaptive_average_input_gradient,
    average_forward,
    average_input_gradient,
    max_forward,
    max_gather,
    max_input_gradient,
    max_values,
)
from .problem import AdaptiveAveragePool2dProblem, Pool2dProblem, Span

AverageProblem = Pool2dProblem | AdaptiveAveragePool2dProblem


def _padded(problem: Pool2dProblem, x: Array, value: float) -> Array:
    """`x` with `value` around it, so that every tap of every window meets an element."""
    widths = [(0, 0), (0, 0)]
    for axis in (0, 1):
        before = problem.padding[axis]
        end = (problem.output_size[axis] - 1) * problem.stride[axis]
        end += (problem.kernel_size[axis] - 1) * problem.dilation[axis] + 1
        widths.append((before, max(0, end - before - problem.shape[2 + axis])))
    return array_module(x).pad(x, widths, constant_values=value)


def _taps(problem: Pool2dProblem, padded: Array) -> Iterator[tuple[int, Array]]:
    """Each tap's number and a view (N, C, P, Q): the element of `padded` that it meets in every window."""
    (p, q), (down, right) = problem.output_size, problem.stride
    for r in range(problem.kernel_size[0]):
        for s in range(problem.kernel_size[1]):
            top, left = r * problem.dilation[0], s * problem.dilation[1]
            rows = slice(top, top + (p - 1) * down + 1, down)
            columns = slice(left, left + (q - 1) * right + 1, right)
            yield r * problem.kernel_size[1] + s, padded[:, :, rows, columns]


def _first_taps(problem: Pool2dProblem, axis: int) -> list[int]:
    """Along `axis`, the first tap of each window that is not in the padding before the input."""
    pad, stride, dilation = problem.padding[axis], problem.stride[axis], problem.dilation[axis]
    outputs, last = problem.output_size[axis], problem.kernel_size[axis] - 1
    return [min(-(-max(0, pad - p * stride) // dilation), last) for p in range(outputs)]


@max_forward.variant("reference", device="any")
def max_forward_reference(problem: Pool2dProblem, x: Array) -> tuple[Array, Array]:
    xp = array_module(x)
    y = xp.full(problem.output_shape, -xp.inf, x.dtype)
    rows, columns = (xp.asarray(_first_taps(problem, axis)) for axis in (0, 1))
    first = rows[:, None] * problem.kernel_size[1] + columns
    indices = xp.broadcast_to(first, problem.output_shape).astype(problem.index_dtype)
    for tap, values in _taps(problem, _padded(problem, x, -xp.inf)):
        better = (values > y) | xp.isnan(values)
        y = xp.where(better, values, y)
        indices = xp.where(better, indices.dtype.type(tap), indices)
    return y, indices


@max_values.variant("reference", device="any")
def max_values_reference(problem: Pool2dProblem, x: Array) -> Array:
    return max_forward_reference(problem, x)[0]


@max_input_gradient.variant("reference", device="any")
def max_input_gradient_reference(problem: Pool2dProblem, gy: Array, indices: Array) -> Array:
    xp = array_module(gy)
    padded = _padded(problem, xp.zeros(problem.shape, gy.dtype), 0)
    for tap, gx in _taps(problem, padded):
        gx += xp.where(indices == tap, gy, gy.dtype.type(0))
    (top, left), (height, width) = problem.padding, problem.shape[2:]
    return padded[:, :, top : top + height, left : left + width]


@max_gather.variant("reference", device="any")
def max_gather_reference(problem: Pool2dProblem, x: Array, indices: Array) -> Array:
    xp = array_module(x)
    y = xp.zeros(problem.output_shape, x.dtype)
    for tap, values in _taps(problem, _padded(problem, x, 0)):
        y = xp.where(indices == tap, values, y)
    return y


def refuses_dilation(problem: AverageProblem) -> str | None:
    """Average pooling is defined over windows without gaps."""
    return None if problem.dilation == (1, 1) else f"average pooling has no dilation, got {problem.dilation}"


def _divisors(problem: AverageProblem, y: Array) -> Array:
    """(P, Q): what the sum of each window is divided by."""
    xp = array_module(y)
    if problem.divisor_override is not None:
        return xp.full(y.shape[2:], problem.divisor_override, y.dtype)
    rows, columns = (xp.asarray(problem.lengths(axis), y.dtype) for axis in (0, 1))
    return rows[:, None] * columns


def _sums(x: Array, spans: list[Span], axis: int) -> Array:
    """Element p of `axis` becomes the sum of `x` over spans[p] of that axis."""
    xp = array_module(x)
    along = xp.moveaxis(x, axis, 0)
    return xp.stack([along[start:stop].sum(0) for start, stop in spans], axis)


def _spread(y: Array, spans: list[Span], axis: int, length: int) -> Array:
    """The transpose of `_sums`: element p of `axis` is added to every element of spans[p]."""
    xp = array_module(y)
    x = xp.zeros((*y.shape[:axis], length, *y.shape[axis + 1 :]), y.dtype)
    along_x, along_y = xp.moveaxis(x, axis, 0), xp.moveaxis(y, axis, 0)
    for p, (start, stop) in enumerate(spans):
        along_x[start:stop] += along_y[p]
    return x


@adaptive_average_forward.variant("reference", device="any")
@average_forward.variant("reference", device="any", refuses=refuses_dilation)
def average_forward_reference(problem: AverageProblem, x: Array) -> Array:
    sums = _sums(_sums(x, problem.spans(0), 2), problem.spans(1), 3)
    return sums / _divisors(problem, sums)


@adaptive_average_input_gradient.variant("reference", device="any")
@average_input_gradient.variant("reference", device="any", refuses=refuses_dilation)
def average_input_gradient_reference(problem: AverageProblem, gy: Array) -> Array:
    _, _, height, width = problem.shape
    gy = gy / _divisors(problem, gy)
    return _spread(_spread(gy, problem.spans(0), 2, height), problem.spans(1), 3, width)
