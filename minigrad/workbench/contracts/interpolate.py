"""Bilinear interpolation and its gradient. No layer of GoogLeNet's: its images are brought to their size by it."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis.strategies import booleans, builds

from minigrad.kernels import interpolate
from minigrad.kernels.interpolate import InterpolateProblem
from minigrad.kernels.registry import Operation
from minigrad.ops.resample import Bilinear

from .contract import Arguments, Call, Contract, Traced, by_autograd, like_input, like_output, without_batch
from .drawing import draw_input, draw_output_gradient
from .sizes import images, pair


def _resized(
    shape: tuple[int, int, int, int], to: tuple[int, int], align_corners: bool = False
) -> InterpolateProblem:
    ratios = shape[2] / to[0], shape[3] / to[1]
    return InterpolateProblem(shape, to, ratios, align_corners)


def _traced(operation: Operation) -> Traced:
    """The problems of resamplings whose forward pass, or whose gradient, is `operation`."""

    def traced(function: Any, inputs: Sequence[Any]) -> Sequence[Any]:
        if not isinstance(function, Bilinear):
            return []
        same = function.operation is operation
        return [function.problem] if same or inputs[0].requires_grad else []

    return traced


def _images(model: str, batch: int, size: int) -> Mapping[str, Any]:
    """Images brought from 256 to 224 pixels, or in that proportion."""
    larger = -(-size * 8 // 7)
    return {f"images for {model}": _resized((batch, 3, larger, larger), (size, size))}


def _torch_forward(torch: Any, p: InterpolateProblem, a: Arguments) -> Call:
    resize, options = torch.nn.functional.interpolate, {"mode": "bilinear", "align_corners": p.align_corners}
    return lambda: resize(a["x"], p.output_size, **options)


def _torch_gradient(torch: Any, p: InterpolateProblem, a: Arguments) -> Call:
    x = torch.empty(p.shape, dtype=a["gy"].dtype, device=a["gy"].device)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    return by_autograd(torch, _torch_forward(torch, p, {"x": x}), x, a["gy"])


_bilinear = functools.partial(
    Contract,
    problem=InterpolateProblem,
    odd=builds(_resized, images(), pair(1, 17), booleans()),
    work=lambda problem: 8 * math.prod(problem.output_shape),  # four pixels: a product and an addition each
    stand_ins=_images,
    describe=lambda problem: "{} -> {}x{}".format(without_batch(problem), *problem.output_size),
)

CONTRACTS = (
    _bilinear(
        interpolate.forward,
        inputs="x",
        draw=draw_input,
        outputs=like_output("y"),
        traced=_traced(interpolate.forward),
        torch=_torch_forward,
    ),
    _bilinear(
        interpolate.input_gradient,
        inputs="gy",
        draw=draw_output_gradient,
        outputs=like_input("gx"),
        traced=_traced(interpolate.input_gradient),
        torch=_torch_gradient,
    ),
)
