"""Joining arrays."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis.strategies import builds, lists

from minigrad.kernels import concat
from minigrad.kernels.concat import ConcatProblem
from minigrad.ops.shape import Concat

from .contract import Arguments, Call, Contract, like_output
from .drawing import Generator, normal
from .sizes import images, number


def _draw(problem: ConcatProblem, generator: Generator) -> Arguments:
    return {"arrays": tuple(normal(generator, shape, problem.dtype) for shape in problem.shapes)}


def _along_channels(shape: tuple[int, int, int, int], channels: list[int]) -> ConcatProblem:
    n, _, h, w = shape
    return ConcatProblem(tuple((n, c, h, w) for c in channels), 1)


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


def _names(problem: ConcatProblem) -> Mapping[str, int]:
    """The result's sizes, if it is made of images."""
    shape = problem.output_shape
    sizes = zip(("batch", "channels", "height", "width"), shape, strict=True) if len(shape) == 4 else ()
    return {"dimensions": len(shape), **dict(sizes)}


def _parts(problem: ConcatProblem) -> list[tuple[tuple[slice, ...], Mapping[str, int]]]:
    """Where each array goes in the result, and its length along the axis."""
    lengths = [shape[problem.axis] for shape in problem.shapes]
    before = (slice(None),) * problem.axis
    return [
        ((*before, slice(end - length, end)), {"part_length": length})
        for length, end in zip(lengths, itertools.accumulate(lengths), strict=True)
    ]


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
        odd=builds(_along_channels, images(), lists(number(1, 19), min_size=1, max_size=4)),
        may_share=True,
        traced=_traced,
        at_batch=_at_batch,
        describe=_describe,
        torch=_torch,
        lists=("arrays",),
        names=_names,
        parts=_parts,
    ),
)
