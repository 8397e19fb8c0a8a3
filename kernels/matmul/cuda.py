"""Products of matrices on CUDA: the launches of direct.cu and matmul.cu, which say how the kernels work.

- `cuda_direct`  one thread an element, for reading;
- `tiled`        float32 and float64, tiles in shared memory and registers;
- `tensor_core`  float16 and bfloat16 with float32 sums; float32 rounded to tf32 (10 bits of mantissa) only where
                 it is asked for by name.
"""

from __future__ import annotations

import math

import numpy as np

from ..arrays import Array, array_module
from ..cuda.buffers import address, empty
from ..cuda.dtypes import REAL, refuses_other_dtypes
from ..cuda.launch import LARGEST_GRID, CudaSource
from . import matmul
from .problem import MatmulProblem
from .tiles import DEFINITIONS, choose_tile, defines, lanes_of, never_compiled

THREADS = 256  # of direct.cu
MOST_MATRICES = LARGEST_GRID[2]  # a launch

DIRECT = CudaSource("matmul/direct.cu", REAL=tuple(REAL.values()))
TILED = CudaSource(
    "matmul/matmul.cu",
    lambda given: never_compiled(given) or int(given["VECTOR"]) != _lanes(given["REAL"]),
    **DEFINITIONS,
)


def _lanes(real: str) -> int:
    return next(lanes_of(dtype) for dtype, name in REAL.items() if name == real)


def _struct(*fields: int) -> np.ndarray:
    """A C struct of `long long`s, given by value."""
    return np.array(fields, np.dtype([(f"field{i}", np.int64) for i in range(len(fields))]))


def _stacks(problem: MatmulProblem, left: Array, right: Array) -> tuple[Array, Array]:
    """Both factors as stacks (B, M, K) and (B, K, N); where one right factor serves all, as one tall product."""
    xp, (k, n), stack = array_module(left), problem.right[-2:], math.prod(problem.stack)
    if math.prod(problem.right[:-2]) == 1 and left.flags.c_contiguous:
        return left.reshape(1, stack * problem.left[-2], k), right.reshape(1, k, n)
    left = xp.broadcast_to(left, (*problem.stack, *problem.left[-2:]))
    right = xp.broadcast_to(right, (*problem.stack, k, n))
    return left.reshape(stack, *problem.left[-2:]), right.reshape(stack, k, n)


def _parts(stack: int) -> list[slice]:
    """The stack in parts that one launch can do."""
    return [slice(start, min(start + MOST_MATRICES, stack)) for start in range(0, stack, MOST_MATRICES)]


@matmul.variant("cuda_direct", device="cuda", priority=1, refuses=refuses_other_dtypes)
def matmul_direct(problem: MatmulProblem, left: Array, right: Array) -> Array:
    y = empty(problem.output_shape, left.dtype, like=left)
    left, right = _stacks(problem, left, right)
    (stack, rows, depth), columns = left.shape, right.shape[2]
    strides = (_struct(*(stride // array.itemsize for stride in array.strides)) for array in (left, right))
    DIRECT.kernel("direct", REAL=REAL[problem.dtype])(
        (-(-y.size // THREADS),), (THREADS,), left, next(strides), right, next(strides), y,
        *map(np.int32, (stack, rows, columns, depth)),
    )  # fmt: skip
    return y


def _in_rows(array: Array) -> tuple[Array, bool]:
    """A stack of matrices whose rows each lie in one stretch of memory, and whether those of the transposes.

    Such a row is a stretch of whole 16 bytes, at a multiple of that; other matrices are copied, with zeros behind
    each row.
    """
    size = array.itemsize
    _, rows, columns = array.shape
    transposed = columns > 1 and array.strides[2] != size and (rows == 1 or array.strides[1] == size)
    if transposed:
        array = array.swapaxes(1, 2)
    lanes, (stack, rows, columns) = lanes_of(array.dtype.name), array.shape
    whole = (
        columns % lanes == 0
        and (columns == 0 or array.strides[2] == size)
        and (rows < 2 or array.strides[1] % 16 == 0)
        and (stack < 2 or array.strides[0] % 16 == 0)
        and address(array) % 16 == 0
    )
    return (array if whole else _padded(array, lanes)), transposed


def _padded(array: Array, lanes: int) -> Array:
    """A copy whose rows end with zeros up to a multiple of `lanes` elements."""
    stack, rows, columns = array.shape
    copy = empty((stack, rows, -(-columns // lanes) * lanes), array.dtype, like=array)
    copy[..., :columns] = array
    copy[..., columns:] = 0
    return copy


def _distances(array: Array) -> np.ndarray:
    """`Matrices` of matmul.cu."""
    stack, rows, columns = array.shape
    row = array.strides[1] // array.itemsize if rows > 1 else columns
    return _struct(row, array.strides[0] // array.itemsize if stack > 1 else 0)


def _tiled(problem: MatmulProblem, left: Array, right: Array, tensor_core: bool) -> Array:
    y = empty(problem.output_shape, left.dtype, like=left)
    if y.size == 0:
        return y
    left, right = _stacks(problem, left, right)
    (stack, rows, depth), columns = left.shape, right.shape[2]
    products = y.reshape(stack, rows, columns)
    (a, left_across), (b, right_along) = _in_rows(left), _in_rows(right)
    if left_across and right_along:
        a, left_across = _padded(left, lanes_of(problem.dtype)), False
    name = "across_across" if left_across else "along_along" if right_along else "along_across"
    lanes = lanes_of(problem.dtype)
    sizes = [np.int32(number) for number in (rows, columns, depth, columns % lanes == 0)]
    tile = choose_tile(rows, columns, stack, lanes, problem.dtype)
    kernel = TILED.kernel(name, **defines(problem.dtype, tile, lanes, tensor_core))
    for part in _parts(stack):
        kernel(
            (tile.number(rows, columns), 1, part.stop - part.start), (tile.threads,),
            a[part], _distances(a), b[part], _distances(b), products[part], _distances(products),
            *sizes, shared_bytes=tile.shared_bytes(tensor_core),
        )  # fmt: skip
    return y


@matmul.variant(
    "tiled",
    device="cuda",
    priority=20,
    refuses=lambda problem: refuses_other_dtypes(problem, ("float32", "float64")),
)
def matmul_tiled(problem: MatmulProblem, left: Array, right: Array) -> Array:
    return _tiled(problem, left, right, tensor_core=False)


@matmul.variant(
    "tensor_core",
    device="cuda",
    priority=lambda problem: 5 if problem.dtype == "float32" else 30,
    refuses=lambda problem: refuses_other_dtypes(problem, ("float16", "bfloat16", "float32")),
)
def matmul_tensor_core(problem: MatmulProblem, left: Array, right: Array) -> Array:
    return _tiled(problem, left, right, tensor_core=True)
