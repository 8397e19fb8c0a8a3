"""Max, average and adaptive average pooling."""

from __future__ import annotations

from functools import lru_cache

from ...autograd import apply, records
from ...kernels import pool2d
from ...kernels.arrays import dtype_name
from ...kernels.errors import ShapeError
from ...ops import pool
from ...tensor import Tensor
from .arguments import Pair, four, is_integer, on_batch, pair, switch

# A layer meets the same problem at every step.
_problem = lru_cache(maxsize=1024)(pool2d.Pool2dProblem)


def max_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest element of each window. Ties: the first one gets the gradient. NaN is the largest of all.

    Where no gradient is wanted, nothing but the values is looked for.

    Args:
        input: (N, C, H, W).
        kernel_size, stride, padding, dilation: an integer or a pair; the stride is the kernel size if None.
            Padding counts as minus infinity and is at most half the kernel size.
        ceil_mode: round the output size up, where the last window still starts inside the image.

    Raises:
        ShapeError: if the window does not fit.
    """
    size = pair(kernel_size, "max_pool2d: kernel_size")
    ceil_mode = switch("max_pool2d", "ceil_mode", ceil_mode)

    def run(x: Tensor) -> Tensor:
        problem = _problem(
            four(x),
            size,
            size if stride is None else pair(stride, "max_pool2d: stride"),
            pair(padding, "max_pool2d: padding"),
            pair(dilation, "max_pool2d: dilation"),
            ceil_mode,
            dtype=dtype_name(x.dtype),
        )
        return apply(pool.MaxPool2d(problem) if records(x) else pool.MaxPool2dValues(problem), x)

    return on_batch(input, run, "max_pool2d")


def avg_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window.

    Args:
        input: (N, C, H, W).
        kernel_size, stride, padding, ceil_mode: as in `max_pool2d`; padding counts as zero.
        count_include_pad: whether padding counts in the divisor.
        divisor_override: divide by this number instead.

    Raises:
        ShapeError: if the window does not fit, or the divisor is no integer other than zero.
    """
    size = pair(kernel_size, "avg_pool2d: kernel_size")
    ceil_mode = switch("avg_pool2d", "ceil_mode", ceil_mode)
    count_include_pad = switch("avg_pool2d", "count_include_pad", count_include_pad)
    if divisor_override is not None and not (is_integer(divisor_override) and divisor_override):
        raise ShapeError(
            f"avg_pool2d: divisor_override must be an integer other than zero, got {divisor_override!r}"
        )

    def run(x: Tensor) -> Tensor:
        problem = _problem(
            four(x),
            size,
            size if stride is None else pair(stride, "avg_pool2d: stride"),
            pair(padding, "avg_pool2d: padding"),
            (1, 1),
            ceil_mode,
            count_include_pad,
            divisor_override,
            dtype_name(x.dtype),
        )
        forward, back = pool2d.average_forward, pool2d.average_input_gradient
        return apply(pool.AveragePool2d(problem, forward, back), x)

    return on_batch(input, run, "avg_pool2d")


def adaptive_avg_pool2d(input: Tensor, output_size: int | tuple[int | None, int | None]) -> Tensor:
    """The means of windows that divide the image into (P, Q) parts, of sizes as equal as can be.

    Args:
        input: (N, C, H, W).
        output_size: (P, Q), or one number for both; None keeps the input's size.

    Raises:
        ShapeError: if a size is not positive.
    """
    sizes = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    if len(sizes) != 2:
        raise ShapeError(f"adaptive_avg_pool2d: output_size must be one size or a pair of them, got {output_size}")

    def run(x: Tensor) -> Tensor:
        chosen = [n if size is None else size for size, n in zip(sizes, x.shape[2:], strict=True)]
        problem = pool2d.AdaptiveAveragePool2dProblem(
            four(x), pair(chosen, "adaptive_avg_pool2d: output_size"), dtype_name(x.dtype)
        )
        forward, back = (
            pool2d.adaptive_average_forward,
            pool2d.adaptive_average_input_gradient,
        )
        return apply(pool.AveragePool2d(problem, forward, back), x)

    return on_batch(input, run, "adaptive_avg_pool2d")
