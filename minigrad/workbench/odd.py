"""Small problems with awkward shapes: odd sizes, single rows, channels that fit no vector, every parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from minigrad.kernels.batch_norm import BatchNormProblem
from minigrad.kernels.concat import ConcatProblem
from minigrad.kernels.conv2d import Conv2dProblem
from minigrad.kernels.cross_entropy import CrossEntropyProblem
from minigrad.kernels.dropout import DropoutProblem
from minigrad.kernels.errors import ShapeError
from minigrad.kernels.local_response_norm import LocalResponseNormProblem
from minigrad.kernels.pool2d import AdaptiveAveragePool2dProblem, Pool2dProblem

from .contracts import Contract

Generator = np.random.Generator


def odd_problems(contract: Contract, dtype: str, generator: Generator, count: int) -> Iterator[Any]:
    """`count` random problems for an operation."""
    draw = DRAWN[contract.operation.family]
    adaptive = contract.operation.name.startswith("adaptive")
    while count:
        try:
            problem = (_adaptive if adaptive else draw)(generator)
        except ShapeError:  # a window that does not fit: draw another
            continue
        if isinstance(problem, Pool2dProblem) and contract.operation.name.startswith("average"):
            problem = replace(problem, dilation=(1, 1))
        count -= 1
        yield replace(problem, dtype=dtype)


def _number(generator: Generator, least: int, most: int) -> int:
    return int(generator.integers(least, most + 1))


def _pair(generator: Generator, least: int, most: int) -> tuple[int, int]:
    return _number(generator, least, most), _number(generator, least, most)


def _shape(generator: Generator, channels: int = 19) -> tuple[int, int, int, int]:
    return (_number(generator, 1, 3), _number(generator, 1, channels), *_pair(generator, 2, 13))


def _convolution(generator: Generator) -> Conv2dProblem:
    """Half of them of the kinds that have kernels of their own: 3x3 and 1x1 with stride 1."""
    batch, groups = _number(generator, 1, 3), 1
    channels, filters = _number(generator, 1, 19), _number(generator, 1, 35)
    kind = generator.choice(["3x3", "1x1", "any", "any"])
    if kind == "1x1":
        return Conv2dProblem(batch, channels, _pair(generator, 1, 13), filters, (1, 1))
    if kind == "3x3":
        return Conv2dProblem(
            batch, channels, _pair(generator, 3, 13), filters, (3, 3), padding=_pair(generator, 0, 2)
        )
    groups = _number(generator, 1, 3)
    return Conv2dProblem(
        batch, groups * _number(generator, 1, 5), _pair(generator, 1, 13), groups * _number(generator, 1, 7),
        _pair(generator, 1, 5), _pair(generator, 1, 3), _pair(generator, 0, 3), _pair(generator, 1, 2), groups,
    )  # fmt: skip


def _pool(generator: Generator) -> Pool2dProblem:
    kernel = _pair(generator, 1, 4)
    padding = tuple(_number(generator, 0, size // 2) for size in kernel)
    return Pool2dProblem(
        _shape(generator), kernel, _pair(generator, 1, 3), padding, _pair(generator, 1, 2),  # type: ignore[arg-type]
        ceil_mode=bool(generator.integers(2)), count_include_pad=bool(generator.integers(2)),
    )  # fmt: skip


def _adaptive(generator: Generator) -> AdaptiveAveragePool2dProblem:
    return AdaptiveAveragePool2dProblem(_shape(generator), _pair(generator, 1, 7))


def _concat(generator: Generator) -> ConcatProblem:
    n, _, h, w = _shape(generator)
    return ConcatProblem(tuple((n, _number(generator, 1, 19), h, w) for _ in range(_number(generator, 1, 4))), 1)


DRAWN: dict[str, Callable[[Generator], Any]] = {
    "conv2d": _convolution,
    "pool2d": _pool,
    "batch_norm": lambda g: BatchNormProblem(_shape(g, 70), 1e-3, bool(g.integers(2))),
    "concat": _concat,
    "cross_entropy": lambda g: CrossEntropyProblem(_number(g, 1, 9), _number(g, 2, 70), float(g.integers(2)) / 10),
    "dropout": lambda g: DropoutProblem(_shape(g), 0.4),
    "local_response_norm": lambda g: LocalResponseNormProblem(_shape(g), _number(g, 1, 6)),
}
