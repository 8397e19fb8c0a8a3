"""Local response normalisation and its gradient, of the paper's network."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from hypothesis.strategies import builds

from minigrad.kernels import local_response_norm
from minigrad.kernels.local_response_norm import LocalResponseNormProblem
from minigrad.ops.normalization import LocalResponseNorm

from .contract import Arguments, Call, Contract, by_autograd, like_input, run_by
from .drawing import Generator, draw_input, normal
from .sizes import images, number


def _draw_gradient(problem: LocalResponseNormProblem, generator: Generator) -> Arguments:
    return {"gy": normal(generator, problem.shape, problem.dtype), **draw_input(problem, generator)}


def _papers(model: str, batch: int, size: int) -> Mapping[str, Any]:
    """The two of the paper, behind the first pool and before the second."""
    side = max(1, size // 4)
    return {
        f"googlenet-paper, {channels} channels": LocalResponseNormProblem((batch, channels, side, side), 5)
        for channels in (64, 192)
    }


def _torch_forward(torch: Any, p: LocalResponseNormProblem, a: Arguments) -> Call:
    return lambda: torch.nn.functional.local_response_norm(a["x"], p.size, p.alpha, p.beta, p.k)


def _torch_gradient(torch: Any, p: LocalResponseNormProblem, a: Arguments) -> Call:
    return by_autograd(torch, _torch_forward(torch, p, a), a["x"].requires_grad_(), a["gy"])


_response = functools.partial(
    Contract,
    problem=LocalResponseNormProblem,
    odd=builds(LocalResponseNormProblem, images(), number(1, 6)),
    stand_ins=_papers,
)

CONTRACTS = (
    _response(
        local_response_norm.forward,
        inputs="x",
        draw=draw_input,
        outputs=like_input("y"),
        # a square and an addition for each channel of the window; scale, shift, power, product
        work=lambda problem: (2 * problem.size + 4) * math.prod(problem.shape),
        traced=run_by(LocalResponseNorm),
        torch=_torch_forward,
    ),
    _response(
        local_response_norm.input_gradient,
        inputs="gy x",
        draw=_draw_gradient,
        outputs=like_input("gx"),
        work=lambda problem: (4 * problem.size + 8) * math.prod(problem.shape),
        traced=run_by(LocalResponseNorm, for_input_gradient=True),
        torch=_torch_gradient,
    ),
)
