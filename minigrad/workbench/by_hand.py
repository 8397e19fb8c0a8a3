"""A problem as a person writes it: its class and fields, as every problem prints itself."""

from __future__ import annotations

import ast
import math
from typing import Any

from minigrad.kernels.errors import MinigradError

from .contracts import CONTRACTS

PROBLEMS = {contract.problem.__name__: contract for contract in CONTRACTS.values()}


def parse_problem(text: str) -> Any:
    """`"Conv2dProblem(batch=2, in_channels=64, ...)"` as a problem; every value is a literal, or inf.

    Raises:
        MinigradError: if it is no such text, or no such problem exists; a ShapeError if its sizes do not fit.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in PROBLEMS:
            raise ValueError(f"it must begin with one of {', '.join(PROBLEMS)} and a parenthesis")
        values = [_literal(value) for value in call.args]
        named = {keyword.arg: _literal(keyword.value) for keyword in call.keywords if keyword.arg}
        contract = PROBLEMS[call.func.id]
        problem = contract.problem(*values, **named)
        hash(problem)
        contract.describe(problem)  # which fails where a field is no shape
        return problem
    except MinigradError:
        raise
    except (SyntaxError, ValueError, TypeError) as error:
        words = error.msg if isinstance(error, SyntaxError) else str(error)
        raise MinigradError(f"--problem {text!r}: {words}") from error


def _literal(value: ast.expr) -> Any:
    return math.inf if isinstance(value, ast.Name) and value.id == "inf" else ast.literal_eval(value)
