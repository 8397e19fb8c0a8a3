"""Products of matrices, and of stacks of them.

    y[..., m, n] = sum over k of left[..., m, k] * right[..., k, n]

    matmul(problem, left, right)  ->  y     left (..., M, K), right (..., K, N), y (..., M, N), C-contiguous

The matrices may have any strides, a transposed one is multiplied as it lies. All arrays have `problem.dtype`. The
tiles and cores of the CUDA kernels here (gemm.cuh) are those of the convolutions, too.
"""

from ..registry import Operation
from .problem import MatmulProblem

matmul = Operation("matmul")

from . import cpu, cuda, reference  # noqa: E402  (they register their variants on the operation above)

__all__ = ["MatmulProblem", "cpu", "cuda", "matmul", "reference"]
