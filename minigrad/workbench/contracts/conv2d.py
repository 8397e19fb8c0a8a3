"""Convolution: forward, with ReLU, with the statistics of its result, and both gradients."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis.strategies import DrawFn, composite, sampled_from

from minigrad.kernels import conv2d
from minigrad.kernels.conv2d import Conv2dProblem
from minigrad.ops.conv import Conv2d

from .contract import Arguments, Call, Contract, Outputs, like_output, run_by
from .drawing import Generator, normal
from .sizes import holding, number, pair


def _filter(problem: Conv2dProblem, generator: Generator) -> np.ndarray:
    """A weight whose outputs are about as large as its inputs."""
    shape = problem.weight_shape
    return normal(generator, shape, problem.dtype, 1 / math.sqrt(math.prod(shape[1:])))


def _draw_forward(problem: Conv2dProblem, generator: Generator) -> Arguments:
    x = normal(generator, problem.input_shape, problem.dtype)
    weight = _filter(problem, generator)
    return {"x": x, "weight": weight, "bias": normal(generator, (problem.out_channels,), problem.dtype)}


def _draw_input_gradient(problem: Conv2dProblem, generator: Generator) -> Arguments:
    gy = normal(generator, problem.output_shape, problem.dtype)
    return {"gy": gy, "weight": _filter(problem, generator)}


def _draw_weight_gradient(problem: Conv2dProblem, generator: Generator) -> Arguments:
    shapes = {"x": problem.input_shape, "gy": problem.output_shape}
    return {name: normal(generator, shape, problem.dtype) for name, shape in shapes.items()}


def _statistics(problem: Conv2dProblem) -> Outputs:
    by_channel = ((problem.out_channels,), "float64" if problem.dtype == "float64" else "float32")
    return {"y": (problem.output_shape, problem.dtype), "mean": by_channel, "variance": by_channel}


def _work(problem: Conv2dProblem) -> int:
    return 2 * problem.multiply_adds


def _statistics_work(problem: Conv2dProblem) -> int:
    """For each element of y one addition for the mean; a difference, a square and an addition for the variance."""
    return _work(problem) + 4 * math.prod(problem.output_shape)


@composite
def _odd(draw: DrawFn) -> Conv2dProblem:
    """Half of them of the kinds that have kernels of their own: 1x1 and 3x3 with stride 1."""
    batch, kind = draw(number(1, 3)), draw(sampled_from(["1x1", "3x3", "any", "any"]))
    if kind != "any":
        channels, filters, window = draw(number(1, 19)), draw(number(1, 35)), (1, 1) if kind == "1x1" else (3, 3)
        padding = draw(pair(0, 2)) if kind == "3x3" else (0, 0)
        size = draw(holding(window, padding, (1, 1)))
        return Conv2dProblem(batch, channels, size, filters, window, padding=padding)
    groups, window, stride = draw(number(1, 3)), draw(pair(1, 5)), draw(pair(1, 3))
    padding, dilation = draw(pair(0, 3)), draw(pair(1, 2))
    channels, filters = groups * draw(number(1, 5)), groups * draw(number(1, 7))
    size = draw(holding(window, padding, dilation))
    return Conv2dProblem(batch, channels, size, filters, window, stride, padding, dilation, groups)


def _describe(problem: Conv2dProblem) -> str:
    (h, w), (r, s), (p, q) = problem.input_size, problem.filter_size, problem.padding
    stride = "x".join(str(n) for n in sorted(set(problem.stride)))
    words = f"{problem.in_channels}x{h}x{w} -> {problem.out_channels}, {r}x{s}/{stride}"
    words += f" pad {p}" if p == q and p else f" pad {p},{q}" if p or q else ""
    words += f" dilation {problem.dilation}" if problem.dilation != (1, 1) else ""
    return words + (f" groups {problem.groups}" if problem.groups > 1 else "")


def _torch_forward(torch: Any, p: Conv2dProblem, a: Arguments) -> Call:
    stride, padding, dilation = list(p.stride), list(p.padding), list(p.dilation)
    return lambda: torch.conv2d(a["x"], a["weight"], a["bias"], stride, padding, dilation, p.groups)


def _torch_relu(torch: Any, p: Conv2dProblem, a: Arguments) -> Call:
    convolve = _torch_forward(torch, p, a)
    return lambda: torch.relu_(convolve())


def _torch_statistics(torch: Any, p: Conv2dProblem, a: Arguments) -> Call:
    convolve = _torch_forward(torch, p, a)

    def call() -> Any:
        y = convolve()
        return y, torch.var_mean(y, (0, 2, 3), correction=0)

    return call


def _torch_gradient(which: int) -> Callable[[Any, Conv2dProblem, Arguments], Call]:
    def make(torch: Any, p: Conv2dProblem, a: Arguments) -> Call:
        like = a["gy"]
        x = a.get("x", torch.empty(p.input_shape, dtype=like.dtype, device=like.device))
        weight = a.get("weight", torch.empty(p.weight_shape, dtype=like.dtype, device=like.device))
        x, weight = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (x, weight))
        mask = [which == 0, which == 1, False]
        pairs = list(p.stride), list(p.padding), list(p.dilation)
        backward = torch.ops.aten.convolution_backward
        return lambda: backward(like, x, weight, None, *pairs, False, [0, 0], p.groups, mask)[which]

    return make


_convolution = functools.partial(
    Contract,
    problem=Conv2dProblem,
    work=_work,
    odd=_odd(),
    sums_products=True,
    contiguous=("weight",),
    at_batch=lambda problem, batch: replace(problem, batch=batch),
    describe=_describe,
    traced=run_by(Conv2d),
)
_forward = functools.partial(
    _convolution, inputs="x weight bias", draw=_draw_forward, outputs=like_output("y"), optional=("bias",)
)

CONTRACTS = (
    _forward(conv2d.forward, torch=_torch_forward),
    _forward(conv2d.forward_relu, torch=_torch_relu),
    _forward(
        conv2d.forward_statistics,
        outputs=_statistics,
        work=_statistics_work,
        torch=_torch_statistics,
        may_be_float64=("mean", "variance"),
    ),
    _convolution(
        conv2d.input_gradient,
        inputs="gy weight",
        draw=_draw_input_gradient,
        outputs=lambda problem: {"gx": (problem.input_shape, problem.dtype)},
        # The first layer's input is the image, whose gradient training never asks for.
        traced=run_by(Conv2d, for_input_gradient=True),
        torch=_torch_gradient(0),
    ),
    _convolution(
        conv2d.weight_gradient,
        inputs="x gy",
        draw=_draw_weight_gradient,
        outputs=lambda problem: {"gweight": (problem.weight_shape, problem.dtype)},
        torch=_torch_gradient(1),
    ),
)
