"""Joining arrays."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from minigrad.kernels import concat
from minigrad.kernels.concat import ConcatProblem
from minigrad.ops.shape import Concat

from .contract import Arguments, Call, Contract, like_output
from .drawing import Generator, images, normal, number


def _draw(problem: ConcatProblem, generator: Generator) -> Arguments:
    return {"arrays": tuple(normal(generator, shape, problem.dtype) for shape in problem.shapes)}


def _odd(generator: Generator) -> ConcatProblem:
    n, _, h, w = images(generator)
    return ConcatProblem(tuple((n, number(generator, 1, 19), h, w) for _ in range(number(generator, 1, 4))), 1)


def _traced(function: Any, inputs: Sequence[Any]) -> Sequence[ConcatProblem]:
    if not isinstance(function, Concat) or function.axis != 1:  # filters, joined for one convolution
        return []
    return [ConcatProblem(tuple(x.shape for x in inputs), function.axis, inputs[0].dtype.name)]


def _at_batch(problem: ConcatProblem, batch: int) -> ConcatProblem:
    return replace(problem, shapes=tuple((batch, *shape[1:]) for shape in problem.shapes))


def _describe(problem: ConcatProblem) -> str:
    parts = "+".join(str(shape[problem.axis]) for shape in problem.shapes)
    others = "x".join(str(n) for axis, n in enumerate(problem.shapes[0]) if axis not in (0, problem.axis))
    return f"({parts})x{others}" if problem.axis else f"({parts})x{others} along axis 0"


def _parts(problem: ConcatProblem) -> list[Mapping[str, int]]:
    """The length of each array along the axis, and where it begins in the result."""
    lengths = [shape[problem.axis] for shape in problem.shapes]
    starts = itertools.accumulate(lengths, initial=0)
    return [{"part_length": length, "part_start": start} for length, start in zip(lengths, starts, strict=False)]


def _torch(torch: Any, p: ConcatProblem, a: Arguments) -> Call:
    return lambda: torch.cat(a["arrays"], p.axis)


CONTRACTS = (
    Contract(
        concat.forward,
        problem=ConcatProblem,
        inputs="arrays",
        draw=_draw,
        outputs=like_output("y"),
        work=lambda problem: 0,
        odd=_odd,
        may_share=True,
        traced=_traced,
        at_batch=_at_batch,
        describe=_describe,
        torch=_torch,
        parts=_parts,
    ),
)
