"""Matrix products on minigrad's own threads: BLAS with one thread a task.

NumPy's BLAS brings a pool of threads of its own, which spins while it waits. Beside other work that made a product
of a millisecond take ten; here the rows, or the columns, of the product are shared among the threads that every
other kernel uses.

- `reference` leaves threads to NumPy's BLAS;
- `shared` takes matrices as they lie, transposed or not; what has other strides is copied.
"""

from __future__ import annotations

import numpy as np

from ..cpu.buffers import contiguous, empty
from ..cpu.floats import refuses_other_than_floats
from ..cpu.gemm import gemm
from ..cpu.jit import get_num_threads
from ..cpu.tasks import task_kernel
from . import matmul
from .problem import MatmulProblem

LEAST_WORK = 1 << 21  # multiply-adds a thread, some tens of microseconds: about what waking it costs


def refuses(problem: MatmulProblem) -> str | None:
    if len(problem.left) > 2 or len(problem.right) > 2:
        return "it multiplies two matrices, no stacks"
    if 0 in (*problem.left, *problem.right):
        return "it needs at least one element"
    return refuses_other_than_floats(problem)


@task_kernel
def _multiply(  # type: ignore[no-untyped-def]
    task, tasks, m, n, k, a, a_row, a_transposed, b, b_row, b_transposed, by_columns, y
):  # fmt: skip
    """A share of y[m, n] = a[m, k] @ b[k, n]: some of its rows, or of its columns."""
    if by_columns:
        start, stop = n * task // tasks, n * (task + 1) // tasks
        offset = start * b_row if b_transposed else start
        gemm(m, stop - start, k, a, 0, a_row, a_transposed, b, offset, b_row, b_transposed, False, y, start, n)
    else:
        start, stop = m * task // tasks, m * (task + 1) // tasks
        offset = start if a_transposed else start * a_row
        gemm(stop - start, n, k, a, offset, a_row, a_transposed, b, 0, b_row, b_transposed, False, y, start * n, n)


def _flat(matrix: np.ndarray) -> tuple[np.ndarray, int, bool]:
    """The memory of a matrix as a flat array, the distance between its rows, and whether it lies transposed."""
    for transposed, lying in ((False, matrix), (True, matrix.T)):
        if lying.flags.c_contiguous:
            return lying.reshape(-1), lying.shape[1], transposed
    copy = contiguous(matrix)
    return copy.reshape(-1), copy.shape[1], False


@matmul.variant("shared", device="cpu", only_launches=True, priority=10, refuses=refuses)
def matmul_shared(problem: MatmulProblem, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    (m, k), n = problem.left, problem.right[1]
    y = empty((m, n), left.dtype)
    tasks = max(1, min(get_num_threads(), m * n * k // LEAST_WORK, max(m, n)))
    _multiply(tasks, m, n, k, *_flat(left), *_flat(right), n > m, y.reshape(-1))
    return y
