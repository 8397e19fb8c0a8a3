"""The loss, and its gradient by the logits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis.strategies import builds

from minigrad.kernels import cross_entropy
from minigrad.kernels.cross_entropy import CrossEntropyProblem
from minigrad.ops.loss import CrossEntropy

from .contract import Arguments, Call, Contract, by_autograd, run_by
from .drawing import Generator, normal
from .sizes import either, number


def _draw_logits(problem: CrossEntropyProblem, generator: Generator) -> Arguments:
    """On odd problems, the small ones, a few targets are ignored."""
    targets = generator.integers(0, problem.classes, problem.rows)
    if problem.rows < 10:
        targets[generator.random(problem.rows) < 0.2] = problem.ignore_index
    return {"logits": normal(generator, (problem.rows, problem.classes), problem.dtype), "targets": targets}


def _draw_gradient(problem: CrossEntropyProblem, generator: Generator) -> Arguments:
    return {"glosses": normal(generator, (problem.rows,), problem.dtype), **_draw_logits(problem, generator)}


def _each(count: int) -> Callable[[CrossEntropyProblem], int]:
    return lambda problem: count * problem.rows * problem.classes


def _torch_forward(torch: Any, p: CrossEntropyProblem, a: Arguments) -> Call:
    loss = torch.nn.functional.cross_entropy
    return lambda: loss(
        a["logits"], a["targets"], None, ignore_index=p.ignore_index, reduction="none",
        label_smoothing=p.label_smoothing,
    )  # fmt: skip


def _torch_gradient(torch: Any, p: CrossEntropyProblem, a: Arguments) -> Call:
    logits = a["logits"].requires_grad_()
    return by_autograd(torch, _torch_forward(torch, p, a), logits, a["glosses"])


_loss = functools.partial(
    Contract,
    problem=CrossEntropyProblem,
    odd=builds(CrossEntropyProblem, number(1, 9), number(2, 70), either(0.1)),
    traced=run_by(CrossEntropy),
    at_batch=lambda problem, batch: replace(problem, rows=batch),
    describe=lambda problem: f"{problem.classes} classes",
)

CONTRACTS = (
    _loss(
        cross_entropy.forward,
        inputs="logits targets",
        draw=_draw_logits,
        outputs=lambda problem: {"losses": ((problem.rows,), problem.dtype)},
        work=_each(3),  # the largest, the exponential, the sum
        torch=_torch_forward,
    ),
    _loss(
        cross_entropy.input_gradient,
        inputs="glosses logits targets",
        draw=_draw_gradient,
        outputs=lambda problem: {"glogits": ((problem.rows, problem.classes), problem.dtype)},
        work=_each(5),  # those, a quotient and a product
        torch=_torch_gradient,
    ),
)
