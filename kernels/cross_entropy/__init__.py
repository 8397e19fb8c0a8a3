"""Softmax cross-entropy between rows of logits and class indices, and its gradient.

    t[r]      = (1 - label_smoothing) * one_hot(targets[r]) + label_smoothing / classes
    losses[r] = - sum over c of t[r, c] * log_softmax(logits[r])[c], or 0 if targets[r] is ignored

    forward(problem, logits, targets)                  -> losses (R,)
    input_gradient(problem, glosses, logits, targets)  -> glogits (R, C) = glosses * (softmax(logits) - t)

logits are (R, C) of `problem.dtype`, targets (R,) integers in 0 <= target < C or equal to
`problem.ignore_index` (the caller has checked them). Label smoothing: Szegedy et al., "Rethinking the
Inception architecture", arXiv 1512.00567, section 7.
"""

from ..registry import Operation
from .problem import CrossEntropyProblem

forward = Operation("cross_entropy_forward", family="cross_entropy")
input_gradient = Operation("cross_entropy_input_gradient", family="cross_entropy")

from . import cpu, cuda, reference  # noqa: E402  (they register their variants on the operations above)

__all__ = ["CrossEntropyProblem", "cpu", "cuda", "forward", "input_gradient", "reference"]
