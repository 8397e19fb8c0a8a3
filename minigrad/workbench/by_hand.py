"""A problem as a person writes it: its class and fields, as every problem prints itself."""

from __future__ import annotations

import ast
from typing import Any

from minigrad.kernels.batch_norm import BatchNormProblem
from minigrad.kernels.concat import ConcatProblem
from minigrad.kernels.conv2d import Conv2dProblem
from minigrad.kernels.cross_entropy import CrossEntropyProblem
from minigrad.kernels.dropout import DropoutProblem
from minigrad.kernels.errors import MinigradError
from minigrad.kernels.local_response_norm import LocalResponseNormProblem
from minigrad.kernels.pool2d import AdaptiveAveragePool2dProblem, Pool2dProblem

from .contracts import Contract

PROBLEMS = {
    kind.__name__: kind
    for kind in (
        AdaptiveAveragePool2dProblem,
        BatchNormProblem,
        ConcatProblem,
        Conv2dProblem,
        CrossEntropyProblem,
        DropoutProblem,
        LocalResponseNormProblem,
        Pool2dProblem,
    )
}


def parse_problem(text: str) -> Any:
    """`"Conv2dProblem(batch=2, in_channels=64, ...)"` as a problem; every value is a literal.

    Raises:
        MinigradError: if it is no such text, or no such problem exists; a ShapeError if its sizes do not fit.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in PROBLEMS:
            raise ValueError(f"it must begin with one of {', '.join(PROBLEMS)} and a parenthesis")
        values = [ast.literal_eval(value) for value in call.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
        return PROBLEMS[call.func.id](*values, **named)
    except MinigradError:
        raise
    except (SyntaxError, ValueError, TypeError) as error:
        words = error.msg if isinstance(error, SyntaxError) else str(error)
        raise MinigradError(f"--problem {text!r}: {words}") from error


def fits(contract: Contract, problem: Any) -> bool:
    """Whether an operation takes problems of this kind."""
    family = contract.operation.family
    if isinstance(problem, AdaptiveAveragePool2dProblem):
        return contract.operation.name.startswith("adaptive")
    if isinstance(problem, Pool2dProblem):
        return family == "pool2d" and not contract.operation.name.startswith("adaptive")
    return type(problem).__name__.removesuffix("Problem").lower() == family.replace("_", "")
