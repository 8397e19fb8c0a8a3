"""cross_entropy_forward in Numba, a loop a row: easy to read, and a start for something faster.

minigrad bench cross_entropy_forward --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import cross_entropy


@numba.njit(parallel=True)
def lose(logits, targets, losses, label_smoothing, ignore_index):  # type: ignore[no-untyped-def]
    """logits (R, C), targets and losses (R,)."""
    rows, classes = logits.shape
    for row in numba.prange(rows):
        if targets[row] == ignore_index:
            losses[row] = 0
            continue
        largest = logits[row].max()  # so that no exponential overflows
        exponentials, total = 0.0, 0.0
        for c in range(classes):
            exponentials += np.exp(logits[row, c] - largest)
            total += logits[row, c] - largest
        normaliser = np.log(exponentials)
        of_target = logits[row, targets[row]] - largest
        spread = normaliser - total / classes
        losses[row] = (1 - label_smoothing) * (normaliser - of_target) + label_smoothing * spread


def refuses(problem: cross_entropy.CrossEntropyProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    return None if problem.dtype in ("float32", "float64") else f"Numba knows no {problem.dtype}"


@cross_entropy.forward.variant("mine", device="cpu", refuses=refuses)
def forward(problem: cross_entropy.CrossEntropyProblem, logits: Any, targets: Any) -> Any:
    losses = np.empty(problem.rows, logits.dtype)
    lose(np.ascontiguousarray(logits), targets, losses, problem.label_smoothing, problem.ignore_index)
    return losses
