"""Max, average and adaptive average pooling, and their gradients."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis.strategies import DrawFn, booleans, builds, composite

from minigrad.kernels import pool2d
from minigrad.kernels.pool2d import AdaptiveAveragePool2dProblem, Pool2dProblem
from minigrad.kernels.registry import Operation
from minigrad.ops.pool import AveragePool2d, MaxPool2d, MaxPool2dValues

from .contract import (
    Arguments,
    Call,
    Contract,
    Traced,
    by_autograd,
    like_input,
    like_output,
    run_by,
    without_batch,
)
from .drawing import Generator, draw_input, draw_output_gradient, normal
from .sizes import holding, images, number, pair


def _maxima(problem: Pool2dProblem, generator: Generator) -> np.ndarray:
    """The places of the maxima of some random input."""
    x = normal(generator, problem.shape, problem.dtype)
    indices: np.ndarray = pool2d.max_forward.variants["reference"].function(problem, x)[1]
    return indices


def _draw_max_gradient(problem: Pool2dProblem, generator: Generator) -> Arguments:
    return {**draw_output_gradient(problem, generator), "indices": _maxima(problem, generator)}


def _draw_max_gather(problem: Pool2dProblem, generator: Generator) -> Arguments:
    return {**draw_input(problem, generator), "indices": _maxima(problem, generator)}


def _window_work(problem: Pool2dProblem) -> int:
    return math.prod(problem.output_shape) * math.prod(problem.kernel_size)


def _adaptive_work(problem: AdaptiveAveragePool2dProblem) -> int:
    return math.prod(problem.shape[:2]) * sum(problem.lengths(0)) * sum(problem.lengths(1))


@composite
def _odd(draw: DrawFn, most_dilated: int = 2) -> Pool2dProblem:
    window, stride, dilation = draw(pair(1, 4)), draw(pair(1, 3)), draw(pair(1, most_dilated))
    padding = draw(number(0, window[0] // 2)), draw(number(0, window[1] // 2))
    shape = (draw(number(1, 3)), draw(number(1, 19)), *draw(holding(window, padding, dilation, least=2)))
    return Pool2dProblem(shape, window, stride, padding, dilation, draw(booleans()), draw(booleans()))


def _describe(problem: Pool2dProblem) -> str:
    (r, s), (p, q) = problem.kernel_size, problem.padding
    return f"{without_batch(problem)}, {r}x{s}/{problem.stride[0]}" + (f" pad {p}" if p or q else "")


def _describe_adaptive(problem: AdaptiveAveragePool2dProblem) -> str:
    return "{} -> {}x{}".format(without_batch(problem), *problem.output_size)


def _traced_average(operation: Operation) -> Traced:
    """The problems of averages whose forward pass, or whose gradient, is `operation`."""

    def traced(function: Any, inputs: Sequence[Any]) -> Sequence[Any]:
        found = isinstance(function, AveragePool2d) and operation in (function.operation, function.back)
        return [function.problem] if found else []

    return traced


def _auxiliary_head(model: str, batch: int, size: int) -> Mapping[str, Any]:
    """The average of the paper's auxiliary heads, of 5x5 windows."""
    side = max(5, size // 16)
    return {"an auxiliary head of googlenet-paper": Pool2dProblem((batch, 512, side, side), (5, 5), (3, 3))}


def _torch_max(torch: Any, p: Pool2dProblem, a: Arguments) -> Call:
    window = p.kernel_size, p.stride, p.padding, p.dilation, p.ceil_mode
    return lambda: torch.nn.functional.max_pool2d_with_indices(a["x"], *window)


def _torch_max_values(torch: Any, p: Pool2dProblem, a: Arguments) -> Call:
    window = p.kernel_size, p.stride, p.padding, p.dilation, p.ceil_mode
    return lambda: torch.nn.functional.max_pool2d(a["x"], *window)


def _torch_max_gradient(torch: Any, p: Pool2dProblem, a: Arguments) -> Call:
    x = torch.randn(p.shape, dtype=torch.float32).to(a["gy"]).contiguous(memory_format=torch.channels_last)
    window = p.kernel_size, p.stride, p.padding, p.dilation, p.ceil_mode
    _, indices = torch.nn.functional.max_pool2d_with_indices(x, *window)
    backward = torch.ops.aten.max_pool2d_with_indices_backward
    return lambda: backward(a["gy"], x, *window, indices)


def _torch_max_gather(torch: Any, p: Pool2dProblem, a: Arguments) -> Call:
    x = a["x"]
    places = _torch_max(torch, p, a)()[1].flatten(2)
    return lambda: x.flatten(2).gather(2, places)


def _torch_average(torch: Any, p: Pool2dProblem, a: Arguments) -> Call:
    window = p.kernel_size, p.stride, p.padding, p.ceil_mode, p.count_include_pad, p.divisor_override
    return lambda: torch.nn.functional.avg_pool2d(a["x"], *window)


def _torch_average_gradient(torch: Any, p: Pool2dProblem, a: Arguments) -> Call:
    x = torch.empty(p.shape, dtype=a["gy"].dtype, device=a["gy"].device)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    return by_autograd(torch, _torch_average(torch, p, {"x": x}), x, a["gy"])


def _torch_adaptive(torch: Any, p: AdaptiveAveragePool2dProblem, a: Arguments) -> Call:
    return lambda: torch.nn.functional.adaptive_avg_pool2d(a["x"], p.output_size)


def _torch_adaptive_gradient(torch: Any, p: AdaptiveAveragePool2dProblem, a: Arguments) -> Call:
    x = torch.empty(p.shape, dtype=a["gy"].dtype, device=a["gy"].device)
    x = x.contiguous(memory_format=torch.channels_last)
    return lambda: torch.ops.aten._adaptive_avg_pool2d_backward(a["gy"], x)


_max = functools.partial(Contract, problem=Pool2dProblem, odd=_odd(), describe=_describe)
_average = functools.partial(
    _max,
    odd=_odd(most_dilated=1),
    work=_window_work,
    stand_ins=_auxiliary_head,
)
_adaptive = functools.partial(
    Contract,
    problem=AdaptiveAveragePool2dProblem,
    odd=builds(AdaptiveAveragePool2dProblem, images(), pair(1, 7)),
    work=_adaptive_work,
    describe=_describe_adaptive,
)

CONTRACTS = (
    _max(
        pool2d.max_forward,
        inputs="x",
        draw=draw_input,
        outputs=lambda p: {"y": (p.output_shape, p.dtype), "indices": (p.output_shape, p.index_dtype)},
        work=_window_work,
        traced=run_by(MaxPool2d),
        torch=_torch_max,
    ),
    _max(
        pool2d.max_values,
        inputs="x",
        draw=draw_input,
        outputs=like_output("y"),
        work=_window_work,
        traced=run_by(MaxPool2d, MaxPool2dValues),  # evaluation has the problems of training
        torch=_torch_max_values,
    ),
    _max(
        pool2d.max_input_gradient,
        inputs="gy indices",
        draw=_draw_max_gradient,
        outputs=like_input("gx"),
        work=lambda problem: math.prod(problem.output_shape),
        traced=run_by(MaxPool2d, for_input_gradient=True),
        torch=_torch_max_gradient,
    ),
    _max(
        pool2d.max_gather,
        inputs="x indices",
        draw=_draw_max_gather,
        outputs=like_output("y"),
        work=lambda problem: 0,
        traced=run_by(MaxPool2d),
        torch=_torch_max_gather,
    ),
    _average(
        pool2d.average_forward,
        inputs="x",
        draw=draw_input,
        outputs=like_output("y"),
        traced=_traced_average(pool2d.average_forward),
        torch=_torch_average,
    ),
    _average(
        pool2d.average_input_gradient,
        inputs="gy",
        draw=draw_output_gradient,
        outputs=like_input("gx"),
        traced=_traced_average(pool2d.average_input_gradient),
        torch=_torch_average_gradient,
    ),
    _adaptive(
        pool2d.adaptive_average_forward,
        inputs="x",
        draw=draw_input,
        outputs=like_output("y"),
        traced=_traced_average(pool2d.adaptive_average_forward),
        torch=_torch_adaptive,
    ),
    _adaptive(
        pool2d.adaptive_average_input_gradient,
        inputs="gy",
        draw=draw_output_gradient,
        outputs=like_input("gx"),
        traced=_traced_average(pool2d.adaptive_average_input_gradient),
        torch=_torch_adaptive_gradient,
    ),
)
