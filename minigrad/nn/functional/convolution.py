"""Convolution and transposed convolution."""

from __future__ import annotations

from functools import lru_cache

from ...autocast import for_products
from ...autograd import apply, fuses
from ...kernels.conv2d import Conv2dProblem
from ...kernels.errors import ShapeError
from ...ops import conv
from ...ops.elementwise import relu
from ...ops.shape import pad
from ...places import Place
from ...tensor import Tensor
from .arguments import Pair, integer, known_activation, on_batch, pair, same_dtype

# A layer meets the same problem at every step.
_problem = lru_cache(maxsize=1024)(Conv2dProblem)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
    activation: str | None = None,
    moments: conv.Moments | None = None,
    place: Place | None = None,
) -> Tensor:
    """The 2-D convolution (cross-correlation) of images with filters; the formula is in `minigrad.kernels.conv2d`.

    Args:
        input: (N, C, H, W).
        weight: (K, C / groups, R, S).
        bias: (K,) or None.
        stride, padding, dilation: an integer, or one for each of height and width; `padding` may also be
            "valid" (none) or "same" (the output is as large as the input, for stride 1).
        activation: "relu" for max(0, y), in the same pass over memory where no gradient is wanted; or None.
        moments: gets mean and variance of each channel before activation, where the kernel finds them on its way.
        place: where the result of an activation is best written.

    Returns:
        (N, K, P, Q), with P = floor((H + 2 padding - dilation (R - 1) - 1) / stride) + 1, Q likewise.

    Raises:
        ShapeError: if shapes, groups or window do not fit.
        DTypeError: if the dtypes differ or are not real.
        MinigradError: if there is no such activation.
    """
    known_activation("conv2d", activation)
    input, weight, bias = for_products(input), for_products(weight), for_products(bias)
    dtype = same_dtype("conv2d", {"bias": bias}, input=input, weight=weight)
    groups = integer("conv2d", "groups", groups)
    _check_filter("conv2d", weight, bias, 0, 1)
    strides, dilations = pair(stride, "conv2d: stride"), pair(dilation, "conv2d: dilation")
    if isinstance(padding, str):
        input, padding = _named_padding(input, weight, padding, strides, dilations)
    paddings = pair(padding, "conv2d: padding")

    def run(x: Tensor) -> Tensor:
        if x.shape[1] != weight.shape[1] * groups:
            raise ShapeError(
                f"conv2d: input {x.shape} has {x.shape[1]} channels, weight {weight.shape} with groups={groups} "
                f"expects {weight.shape[1] * groups}"
            )
        problem = _problem(
            x.shape[0], x.shape[1], x.shape[2:], weight.shape[0], weight.shape[2:],
            strides, paddings, dilations, groups, dtype,
        )  # fmt: skip
        operands = (x, weight) if bias is None else (x, weight, bias)
        if activation is None:
            return apply(conv.Conv2d(problem, moments), *operands)
        if fuses(*operands):
            return apply(conv.Conv2dReLU(problem, place), *operands)
        return relu(apply(conv.Conv2d(problem, moments), *operands))

    return on_batch(input, run, "conv2d")


def _check_filter(name: str, weight: Tensor, bias: Tensor | None, bias_axis: int, groups: int) -> None:
    if weight.ndim != 4:
        raise ShapeError(f"{name}: the weight must have four axes, got shape {weight.shape}")
    if bias is not None and bias.shape != (weight.shape[bias_axis] * groups,):
        raise ShapeError(f"{name}: bias {bias.shape} does not fit weight {weight.shape}")


def _named_padding(
    x: Tensor, weight: Tensor, name: str, stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[Tensor, tuple[int, int]]:
    """Input and padding for "valid" and "same"; the extra element of an odd total goes to the end."""
    if name == "valid":
        return x, (0, 0)
    if name != "same" or stride != (1, 1):
        raise ShapeError(f'conv2d: padding={name!r} with stride {stride}; use "valid", or "same" with stride 1')
    totals = [d * (n - 1) for d, n in zip(dilation, weight.shape[2:], strict=True)]
    extra = [(0, total % 2) for total in totals]
    if any(after for _, after in extra):
        x = pad(x, ((0, 0),) * (x.ndim - 2) + tuple(extra))
    return x, (totals[0] // 2, totals[1] // 2)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Tensor:
    """The transposed 2-D convolution: the input gradient of `conv2d` as a function of its own.

    Args:
        input: (N, K, P, Q).
        weight: (K, C / groups, R, S).
        bias: (C,) or None.
        output_padding: rows and columns added at the end of the output, fewer than stride or dilation.

    Returns:
        (N, C, H, W), with H = (P - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1, W likewise.

    Raises:
        ShapeError: if shapes, groups or paddings do not fit.
        DTypeError: if the dtypes differ or are not real.
    """
    name = "conv_transpose2d"
    input, weight, bias = for_products(input), for_products(weight), for_products(bias)
    dtype = same_dtype(name, {"bias": bias}, input=input, weight=weight)
    groups = integer(name, "groups", groups)
    _check_filter(name, weight, bias, 1, groups)
    strides, paddings = pair(stride, f"{name}: stride"), pair(padding, f"{name}: padding")
    dilations, extras = pair(dilation, f"{name}: dilation"), pair(output_padding, f"{name}: output_padding")
    if min(strides) < 1:
        raise ShapeError(f"{name}: stride must be at least 1, got {strides}")
    for extra, s, d in zip(extras, strides, dilations, strict=True):
        if not 0 <= extra < max(s, d):
            raise ShapeError(
                f"{name}: output_padding {extras} must be smaller than stride {strides} or dilation {dilations}"
            )
    # Convolution forgets fewer rows than its stride at the end. Where more are added, rows of zeros in the input
    # make room for the rest.
    zeros, inside = zip(*(divmod(extra, s) for extra, s in zip(extras, strides, strict=True)), strict=True)

    def run(x: Tensor) -> Tensor:
        if x.shape[1] != weight.shape[0]:
            raise ShapeError(
                f"{name}: input {x.shape} has {x.shape[1]} channels, weight {weight.shape} "
                f"expects {weight.shape[0]}"
            )
        if any(zeros):
            x = pad(x, ((0, 0), (0, 0), *((0, rows) for rows in zeros)))
        height, width = (
            (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
            for n, s, p, d, k, extra in zip(
                x.shape[2:], strides, paddings, dilations, weight.shape[2:], inside, strict=True
            )
        )
        if min(height, width) < 1:
            raise ShapeError(
                f"{name}: input {x.shape} with weight {weight.shape} and padding {paddings} leaves no output"
            )
        problem = Conv2dProblem(
            x.shape[0],
            weight.shape[1] * groups,
            (height, width),
            x.shape[1],
            (weight.shape[2], weight.shape[3]),
            strides,
            paddings,
            dilations,
            groups,
            dtype,
        )
        y = apply(conv.Conv2dInputGradient(problem), x, weight)
        return y if bias is None else y + bias.reshape(1, -1, 1, 1)

    return on_batch(input, run, name)
