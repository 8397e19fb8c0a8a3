"""Products of matrices and of arrays with any number of axes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Function, apply
from ..kernels import matmul as kernel
from ..kernels.arrays import Array, array_module, dtype_name
from ..kernels.cpu.recording import again
from ..kernels.errors import ShapeError
from ..tensor import Tensor
from .axes import normalize_axes
from .operands import as_tensor
from .shape import broadcast_to, expand_dims, matrix_transpose, permute_dims, reshape, squeeze

_problem = functools.lru_cache(1024)(kernel.MatmulProblem)


class MatMul(Function):
    """Stacks of matrices: (..., m, k) @ (..., k, n)."""

    multilinear = True

    def forward(self, a: Array, b: Array) -> Array:
        self.right_is_transposed = b.ndim == 2 and not b.flags.c_contiguous and b.flags.f_contiguous
        if a.dtype != b.dtype:
            dtype = np.result_type(a.dtype, b.dtype)
            a, b = (x if x.dtype == dtype else again(functools.partial(x.astype, dtype)) for x in (a, b))
        return kernel.matmul(_problem(a.shape, b.shape, dtype_name(a.dtype)), a, b)

    def backward(self, gradient: Tensor) -> list[Tensor | None]:
        a, b = self.inputs
        return [
            matmul(gradient, matrix_transpose(b)) if self.needs_gradient[0] else None,
            self._right_gradient(a, gradient) if self.needs_gradient[1] else None,
        ]

    def _right_gradient(self, a: Tensor, gradient: Tensor) -> Tensor:
        """That of a factor that lies transposed lies so, too: a weight's is then in the weight's order."""
        if self.right_is_transposed:
            return matrix_transpose(matmul(matrix_transpose(gradient), a))
        return matmul(matrix_transpose(a), gradient)


def matmul(x1: Any, x2: Any) -> Tensor:
    """The matrix product, with NumPy's rules: a vector on the left is a row, on the right a column, and axes
    before the last two are a stack, which broadcasts.

    Raises:
        ShapeError: if the inner sizes differ or the stacks do not broadcast.
    """
    a, b = as_tensor(x1, "matmul"), as_tensor(x2, "matmul")
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"matmul: a single number has no matrix product (shapes {a.shape} and {b.shape}); use *")
    product = apply(MatMul(), expand_dims(a, 0) if a.ndim == 1 else a, expand_dims(b, -1) if b.ndim == 1 else b)
    ones = tuple(axis for axis, vector in ((-2, a.ndim == 1), (-1, b.ndim == 1)) if vector)
    return squeeze(product, ones) if ones else product


def tensordot(x1: Any, x2: Any, axes: int | Sequence[int | Sequence[int]] = 2) -> Tensor:
    """The sum over pairs of axes: the last `axes` of `x1` with the first of `x2`, or two lists of axes.

    Raises:
        ShapeError: if the paired axes differ in size or number.
    """
    a, b = as_tensor(x1, "tensordot"), as_tensor(x2, "tensordot")
    if isinstance(axes, int | np.integer):
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ShapeError(f"tensordot: shapes {a.shape} and {b.shape} do not have {axes} axes to sum over")
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    if not isinstance(axes, list | tuple) or len(axes) != 2:
        raise ShapeError(f"tensordot: axes are a number, or two lists of axes, got {axes!r}")
    first, second = (
        list(normalize_axes(list(side) if isinstance(side, range | tuple) else side, x.ndim, "tensordot"))
        for side, x in zip(axes, (a, b), strict=True)
    )
    if [a.shape[i] for i in first] != [b.shape[i] for i in second]:
        raise ShapeError(f"tensordot: axes {first} of shape {a.shape} do not fit axes {second} of shape {b.shape}")
    rows = [i for i in range(a.ndim) if i not in first]
    columns = [i for i in range(b.ndim) if i not in second]
    row_shape, column_shape = [a.shape[i] for i in rows], [b.shape[i] for i in columns]
    inner = int(np.prod([a.shape[i] for i in first], dtype=int))
    left = reshape(permute_dims(a, rows + first), (int(np.prod(row_shape, dtype=int)), inner))
    right = reshape(permute_dims(b, second + columns), (inner, int(np.prod(column_shape, dtype=int))))
    return reshape(matmul(left, right), (*row_shape, *column_shape))


class Einsum(Function):
    """A sum of products in Einstein's notation, where no operand has a label twice."""

    multilinear = True

    def __init__(self, labels: tuple[str, ...], result: str) -> None:
        self.labels, self.result = labels, result

    def forward(self, *arrays: Array) -> Array:
        self.shapes = [a.shape for a in arrays]
        equation = f"{','.join(self.labels)}->{self.result}"
        try:
            return array_module(arrays[0]).einsum(equation, *arrays, optimize=True)
        except ValueError as error:
            shapes = ", ".join(map(str, self.shapes))
            raise ShapeError(f"einsum {equation!r}: shapes {shapes} do not fit: {error}") from error

    def backward(self, gradient: Tensor) -> list[Tensor | None]:
        return [self._gradient(gradient, i) if need else None for i, need in enumerate(self.needs_gradient)]

    def _gradient(self, gradient: Tensor, position: int) -> Tensor:
        """The product of the gradient and all other operands, stretched over labels that only this one has."""
        own, shape = self.labels[position], self.shapes[position]
        labels = [self.result, *(label for i, label in enumerate(self.labels) if i != position)]
        operands = [gradient, *(x for i, x in enumerate(self.inputs) if i != position)]
        known = "".join(label for label in own if any(label in other for other in labels))
        product = apply(Einsum(tuple(labels), known), *operands)
        sizes = dict(zip(known, product.shape, strict=True))
        product = reshape(product, tuple(sizes.get(label, 1) for label in own))
        return broadcast_to(
            product,
            tuple(sizes.get(label, n) for label, n in zip(own, shape, strict=True)),
        )


def einsum(equation: str, *operands: Any) -> Tensor:
    """A sum of products in Einstein's notation, as `numpy.einsum`: implicit and explicit, `...`, repeated labels.

    Raises:
        ShapeError: if the equation cannot be read or the shapes do not fit it.
    """
    if not isinstance(equation, str) or not operands:
        raise ShapeError(f"einsum: an equation ('ij,jk->ik') and its operands are needed, got {equation!r}")
    tensors = [as_tensor(x, "einsum") for x in operands]
    labels, result = _explicit(equation, tensors)
    _check_sizes(equation, labels, tensors)
    for i, label in enumerate(labels[:]):
        for letter in label:
            while labels[i].count(letter) > 1:  # a diagonal is a product with the identity matrix
                fresh = _unused([*labels, result])
                labels[i] = labels[i].replace(letter, fresh, 1)
                size = tensors[i].shape[labels[i].index(fresh)]
                labels.append(fresh + letter)
                tensors.append(Tensor(tensors[i].xp.eye(size, dtype=tensors[i].dtype)))
    return apply(Einsum(tuple(labels), result), *tensors)


def _check_sizes(equation: str, labels: Sequence[str], tensors: Sequence[Tensor]) -> None:
    """Each label has one size; an axis of size 1 stretches, but not along a diagonal."""
    sizes: dict[str, int] = {}
    for label, x in zip(labels, tensors, strict=True):
        own: dict[str, int] = {}
        for letter, n in zip(label, x.shape, strict=True):
            known = own.setdefault(letter, n)
            if known == n and n != 1:
                known = sizes.setdefault(letter, n)
            if known != n:
                shapes = ", ".join(str(tensor.shape) for tensor in tensors)
                raise ShapeError(
                    f"einsum {equation!r}: shapes {shapes} do not fit: {letter!r} is both {known} and {n}"
                )


def _unused(taken: Sequence[str]) -> str:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return next(letter for letter in letters if not any(letter in label for label in taken))


def _explicit(equation: str, tensors: Sequence[Tensor]) -> tuple[list[str], str]:
    """The labels of each operand and of the result, with `...` spelled out."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    labels = left.split(",")
    if len(labels) != len(tensors):
        raise ShapeError(f"einsum {equation!r}: names {len(labels)} operands, got {len(tensors)}")
    if not arrow:
        letters = left.replace("...", "").replace(",", "")
        result = "..." + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    longest = 0
    for label, x in zip(labels, tensors, strict=True):
        missing = x.ndim - len(label.replace("...", ""))
        if missing < 0 or ("..." not in label and missing):
            raise ShapeError(f"einsum {equation!r}: {label!r} does not fit an operand of shape {x.shape}")
        longest = max(longest, missing if "..." in label else 0)
    batch = ""
    while len(batch) < longest:
        batch += _unused([*labels, result, batch])
    spelled = []
    for label, x in zip(labels, tensors, strict=True):
        missing = x.ndim - len(label.replace("...", ""))
        spelled.append(label.replace("...", batch[longest - missing :] if missing else ""))
    return spelled, result.replace("...", batch)
