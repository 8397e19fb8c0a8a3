"""The matrix product inside parallel kernels: SciPy's BLAS, one thread a call, called from compiled code.

Numba reaches BLAS through one exported function for its own `np.dot`. Calling that function
directly gives what `np.dot` hides: leading dimensions (so a channel slice is multiplied
where it lies), transposes, and accumulation into the output.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  (loads the BLAS that Numba will call)
from numba import types
from numba.extending import overload
from threadpoolctl import ThreadpoolController

from .jit import jit

_blas_gemm: Callable[..., int] = types.ExternalFunction(
    "numba_xxgemm", types.int32(*[types.int8] * 3, *[types.intp] * 11)
)
_blas_gemv: Callable[..., int] = types.ExternalFunction(
    "numba_xxgemv", types.int32(*[types.int8] * 2, *[types.intp] * 8)
)
_NO_TRANSPOSE, _TRANSPOSE = np.int8(ord("n")), np.int8(ord("t"))


def _kind(array):  # type: ignore[no-untyped-def]
    """BLAS's letter for the element type; defined for compiled code below."""
    raise NotImplementedError


@overload(_kind)
def _kind_of_type(array):  # type: ignore[no-untyped-def]
    letter = np.int8(ord({types.float32: "s", types.float64: "d"}[array.dtype]))
    return lambda array: letter


@jit
def gemm(  # type: ignore[no-untyped-def]
    m,
    n,
    k,
    a,
    a_offset,
    a_row,
    a_transposed,
    b,
    b_offset,
    b_row,
    b_transposed,
    accumulate,
    c,
    c_offset,
    c_row,
):
    """C[m, n] (+)= A[m, k] @ B[k, n], all row-major inside flat arrays; `x_row` is the distance between rows.

    With `a_transposed`, A is stored as [k, m]; with `b_transposed`, B is stored as [n, k].
    """
    size = a.itemsize
    scalars = np.empty(2, a.dtype)
    scalars[0] = 1.0
    scalars[1] = 1.0 if accumulate else 0.0
    # A product of matrices would copy all of B first; but that with a vector leaves C as it is where k = 0.
    if m == 1 and k > 0 and (not a_transposed or a_row == 1):
        _blas_gemv(
            _kind(a),
            _TRANSPOSE if b_transposed else _NO_TRANSPOSE,
            k if b_transposed else n,
            n if b_transposed else k,
            scalars.ctypes.data,
            b.ctypes.data + b_offset * size,
            b_row,
            a.ctypes.data + a_offset * size,
            scalars.ctypes.data + size,
            c.ctypes.data + c_offset * size,
        )
        return
    # BLAS is column-major: it is asked for the transposed product, C.T = B.T @ A.T.
    _blas_gemm(
        _kind(a),
        _TRANSPOSE if b_transposed else _NO_TRANSPOSE,
        _TRANSPOSE if a_transposed else _NO_TRANSPOSE,
        n,
        m,
        k,
        scalars.ctypes.data,
        b.ctypes.data + b_offset * size,
        b_row,
        a.ctypes.data + a_offset * size,
        a_row,
        scalars.ctypes.data + size,
        c.ctypes.data + c_offset * size,
        c_row,
    )


def _limit_blas_to_one_thread() -> None:
    """SciPy's BLAS only; NumPy's own keeps its threads, for products outside our kernels."""
    libraries = ThreadpoolController().select(user_api="blas")
    scipys = [item.filepath for item in libraries.lib_controllers if "scipy.libs" in item.filepath]
    (libraries.select(filepath=scipys) if scipys else libraries).limit(limits=1)


_limit_blas_to_one_thread()
