"""cross_entropy_input_gradient in Numba, a loop a row: easy to read, and a start for something faster.

minigrad bench cross_entropy_input_gradient --kernel FILE
"""

from typing import Any

import numba
import numpy as np

from minigrad.kernels import cross_entropy


@numba.njit(parallel=True)
def differentiate(glosses, logits, targets, glogits, label_smoothing, ignore_index):  # type: ignore[no-untyped-def]
    """logits and glogits (R, C), targets and glosses (R,)."""
    rows, classes = logits.shape
    for row in numba.prange(rows):
        if targets[row] == ignore_index:
            glogits[row] = 0
            continue
        largest = logits[row].max()  # so that no exponential overflows
        exponentials = 0.0
        for c in range(classes):
            exponentials += np.exp(logits[row, c] - largest)
        for c in range(classes):
            target = label_smoothing / classes
            if c == targets[row]:
                target += 1 - label_smoothing
            glogits[row, c] = glosses[row] * (np.exp(logits[row, c] - largest) / exponentials - target)


def refuses(problem: cross_entropy.CrossEntropyProblem) -> str | None:
    """Why this kernel cannot run a problem, or None where it can."""
    return None if problem.dtype in ("float32", "float64") else f"Numba knows no {problem.dtype}"


@cross_entropy.input_gradient.variant("mine", device="cpu", refuses=refuses)
def input_gradient(problem: cross_entropy.CrossEntropyProblem, glosses: Any, logits: Any, targets: Any) -> Any:
    glogits = np.empty((problem.rows, problem.classes), logits.dtype)
    constants = problem.label_smoothing, problem.ignore_index
    differentiate(glosses, np.ascontiguousarray(logits), targets, glogits, *constants)
    return glogits
