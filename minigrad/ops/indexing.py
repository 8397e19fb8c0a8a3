"""Elements picked by index. What an element was read for, more than once perhaps, is added up on the way back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Function, apply
from ..kernels.arrays import Array, array_module, device_of, on_host
from ..kernels.cpu.recording import again, spoil
from ..kernels.errors import DTypeError, ShapeError
from ..tensor import Tensor, is_floating
from .axes import normalize_axis
from .operands import as_tensor

# The dtypes that CuPy's `add.at` takes.
ADDED_BY_CUPY = ("float16", "float32", "float64", "int32", "uint32", "uint64")


class Index(Function):
    """x[index], for any index that NumPy has. An element that is read twice gets both gradients."""

    saves_inputs = False

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x[self.index]

    def backward(self, gradient: Tensor) -> Tensor:
        return apply(IndexAdd(self.index, self.shape), gradient)


class IndexAdd(Function):
    """Zeros of `shape`, with the input added at `index`: the derivative of `Index`, and the reverse."""

    saves_inputs = False

    def __init__(self, index: Any, shape: tuple[int, ...]) -> None:
        self.index, self.shape = index, shape

    def forward(self, values: Array) -> Array:
        xp = array_module(values)
        result = xp.zeros(self.shape, values.dtype)
        parts = self.index if isinstance(self.index, tuple) else (self.index,)
        if any(hasattr(part, "dtype") and part.dtype.kind != "b" for part in parts):
            _add_at(result, self.index, values)
        else:
            result[self.index] = values
        return result

    def backward(self, gradient: Tensor) -> Tensor:
        return apply(Index(self.index), gradient)


def _add_at(result: Array, index: Any, values: Array) -> None:
    """Add `values` at `index`, in which integer arrays may name an element twice.

    CuPy adds by atomic operations: in no fixed order, so that the last bits differ from call to call.
    """
    xp = array_module(result)
    if xp.__name__ == "cupy" and result.dtype.name not in ADDED_BY_CUPY:
        wide = np.float32 if is_floating(result.dtype) else np.float64
        sums = xp.zeros(result.shape, wide)
        xp.add.at(sums, index, values.astype(wide))
        result[...] = sums
    else:
        xp.add.at(result, index, values)


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """The elements at integer `indices` along `axis`, which may be left out for one dimension.

    Raises:
        DTypeError: if the indices are not integers.
        IndexError: if an index is outside of the axis.
    """
    x = as_tensor(x, "take")
    places = _integers(x, indices, "take")
    if axis is None:
        if x.ndim != 1:
            raise ShapeError(f"take: name an axis of the {x.ndim} dimensions of shape {x.shape}")
        axis = 0
    return getitem(x, (*(slice(None),) * normalize_axis(axis, x.ndim, "take"), places))


def _integers(x: Tensor, indices: Any, name: str) -> Array:
    """Indices into `x` as a raw array; an empty list is a list of integers, too."""
    places = indices.data if isinstance(indices, Tensor) else x.xp.asarray(indices)
    if device_of(places) != x.device:
        elsewhere = places
        places = again(lambda: x.xp.asarray(on_host(elsewhere)))
    if not places.size and not hasattr(indices, "dtype"):
        places = places.astype(np.int64)
    if places.dtype.kind not in "iu":
        raise DTypeError(f"{name}: indices must be integers, not {places.dtype}")
    return places


def take_along_axis(x: Tensor, indices: Any, axis: int = -1) -> Tensor:
    """For each position of `indices` (with the axes of `x`), the element of `x` at that index of `axis`.

    Raises:
        DTypeError: if the indices are not integers.
        ShapeError: if the axis does not exist, or the other axes of `x` and the indices do not broadcast.
        IndexError: if an index is outside of the axis.
    """
    x = as_tensor(x, "take_along_axis")
    places = _integers(x, indices, "take_along_axis")
    axis = normalize_axis(axis, x.ndim, "take_along_axis")
    try:
        if places.ndim != x.ndim:
            raise ValueError("the number of axes differs")
        shape = np.broadcast_shapes(places.shape, tuple(1 if i == axis else n for i, n in enumerate(x.shape)))
    except ValueError as error:
        raise ShapeError(
            f"take_along_axis: indices {places.shape} do not fit shape {x.shape} along axis {axis}: {error}"
        ) from error
    grid = [x.xp.arange(n).reshape((-1,) + (1,) * (x.ndim - 1 - i)) for i, n in enumerate(shape)]
    grid[axis] = places
    return getitem(x, tuple(grid))


def getitem(x: Tensor, index: Any) -> Tensor:
    """x[index] with all of NumPy's indexing: integers, slices, `...`, None, boolean and integer arrays.

    Raises:
        IndexError: if an index is outside of its axis, or not an index at all.
    """
    parts = tuple(_as_index(i, x) for i in index) if isinstance(index, tuple) else _as_index(index, x)
    try:
        if x.device == "cuda":
            check_bounds(parts, x.shape)
        return apply(Index(parts), x)
    except IndexError as error:
        raise IndexError(f"index {index} into a Tensor of shape {x.shape}: {error}") from None


def _as_index(part: Any, x: Tensor) -> Any:
    """One part of an index into `x`, as NumPy takes it. The tape reads it again, so that arrays are copied.

    Arrays of another device come to that of `x`, as the places of elements do not depend on where they lie.
    """
    if isinstance(part, Tensor) and part.dtype == np.bool_:
        spoil("elements are picked by a mask, and its values say how many")
    if isinstance(part, list | tuple):
        part = np.array(part) if len(part) else np.zeros(0, np.int64)
    array = part.data if isinstance(part, Tensor) else part
    if not hasattr(array, "strides"):
        return part
    return again(lambda: array.copy() if device_of(array) == x.device else x.xp.asarray(on_host(array)))


def check_bounds(index: Any, shape: tuple[int, ...]) -> None:
    """Raise an IndexError if an integer array in `index` names an element outside of its axis of `shape`.

    CuPy wraps such indices around, without a word; NumPy raises by itself.
    """
    parts = index if isinstance(index, tuple) else (index,)
    spanned = [part.ndim if getattr(part, "dtype", None) == np.bool_ else 1 for part in parts]
    spanned = [0 if part is None or part is Ellipsis else n for part, n in zip(parts, spanned, strict=True)]
    axis = 0
    for part, count in zip(parts, spanned, strict=True):
        if part is Ellipsis:
            axis += len(shape) - sum(spanned)
        elif hasattr(part, "strides") and part.dtype.kind in "iu" and part.size and axis < len(shape):
            lowest, highest = int(part.min()), int(part.max())
            if lowest < -shape[axis] or highest >= shape[axis]:
                wrong = lowest if lowest < -shape[axis] else highest
                raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {shape[axis]}")
        axis += count
