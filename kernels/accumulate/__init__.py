"""The sum of two arrays of one shape: how gradients that come from several places add up.

    add(problem, a, b)      -> a + b, lying in memory as a does
    add_to(problem, a, b)   -> None; b has been added to a, with which it shares no memory

Both have `problem.shape`, `problem.dtype` and any strides. The result is rounded once an element, so every
variant gives the same bits.
"""

from ..registry import Operation
from .problem import AccumulateProblem

add = Operation("accumulate_add", family="accumulate")
add_to = Operation("accumulate_add_to", family="accumulate")

from . import cpu, cuda, reference  # noqa: E402  (they register their variants on the operations above)

__all__ = ["AccumulateProblem", "add", "add_to", "cpu", "cuda", "reference"]
