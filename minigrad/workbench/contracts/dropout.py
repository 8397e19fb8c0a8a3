"""Dropout, which is its own gradient."""

from __future__ import annotations

from typing import Any

from minigrad.kernels import dropout
from minigrad.kernels.dropout import DropoutProblem
from minigrad.ops.dropout import Dropout

from .contract import Arguments, Call, Contract, like_input, per_element, run_by
from .drawing import Generator, draw_input
from .sizes import images


def _draw(problem: DropoutProblem, generator: Generator) -> Arguments:
    seed, offset = (int(n) for n in generator.integers(0, 2**62, 2))
    return {**draw_input(problem, generator), "seed": seed, "offset": offset}


def _torch(torch: Any, p: DropoutProblem, a: Arguments) -> Call:
    """Another mask than ours, but as much work."""
    return lambda: torch.dropout(a["x"], p.probability, True)


CONTRACTS = (
    Contract(
        dropout.forward,
        problem=DropoutProblem,
        inputs="x seed offset",
        draw=_draw,
        outputs=like_input("y"),
        work=per_element(1),
        odd=images().map(lambda shape: DropoutProblem(shape, 0.4)),
        traced=run_by(Dropout),
        torch=_torch,
    ),
)
