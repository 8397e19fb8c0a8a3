"""The definition of right: sums of shifted views along the channels."""

from __future__ import annotations

from ..arrays import Array, array_module
from . import forward, input_gradient
from .problem import LocalResponseNormProblem


def _window_sums(x: Array, before: int, after: int) -> Array:
    """Sum of x[:, c - before : c + after + 1] for every channel c, with zeros outside."""
    padded = array_module(x).pad(x, ((0, 0), (before, after), (0, 0), (0, 0)))
    channels = x.shape[1]
    return sum(padded[:, shift : shift + channels] for shift in range(before + 1 + after))


def _denominators(problem: LocalResponseNormProblem, x: Array) -> Array:
    """s, the base of the power that x is divided by."""
    return problem.k + problem.alpha / problem.size * _window_sums(x * x, problem.before, problem.after)


@forward.variant("reference", device="any")
def forward_reference(problem: LocalResponseNormProblem, x: Array) -> Array:
    return x * _denominators(problem, x) ** -problem.beta


@input_gradient.variant("reference", device="any")
def input_gradient_reference(problem: LocalResponseNormProblem, gy: Array, x: Array) -> Array:
    s = _denominators(problem, x)
    # x[j] moves every s[c] whose window holds j, so the window is mirrored.
    through_s = _window_sums(gy * x * s ** (-problem.beta - 1), problem.after, problem.before)
    return gy * s**-problem.beta - 2 * problem.alpha * problem.beta / problem.size * x * through_s
