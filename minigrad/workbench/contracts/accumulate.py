"""Sums of gradients, where a Tensor is used several times: the inputs of an Inception's branches."""

from __future__ import annotations

import functools
from typing import Any

from minigrad.kernels import accumulate
from minigrad.kernels.accumulate import AccumulateProblem

from .contract import Arguments, Call, Contract, like_input, per_element
from .drawing import Generator, normal
from .sizes import images


def _draw(problem: AccumulateProblem, generator: Generator) -> Arguments:
    return {name: normal(generator, problem.shape, problem.dtype) for name in ("a", "b")}


def _torch_add(torch: Any, p: AccumulateProblem, a: Arguments) -> Call:
    return lambda: torch.add(a["a"], a["b"])


def _torch_add_to(torch: Any, p: AccumulateProblem, a: Arguments) -> Call:
    return lambda: a["a"].add_(a["b"])


_sum = functools.partial(
    Contract,
    problem=AccumulateProblem,
    inputs="a b",
    draw=_draw,
    work=per_element(1),
    odd=images(70).map(AccumulateProblem),
)

# What of them a model runs is no Function's: see `workbench.layers`.
CONTRACTS = (
    _sum(accumulate.add, outputs=like_input("y"), torch=_torch_add),
    _sum(accumulate.add_to, outputs=like_input("a"), changes=("a",), torch=_torch_add_to),
)
