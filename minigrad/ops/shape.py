"""Operations that move elements without changing them: each one's gradient moves them back."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Function, apply
from ..kernels import concat as concat_kernels
from ..kernels.arrays import Array, array_module, dtype_name
from ..kernels.errors import ShapeError
from ..tensor import Tensor
from .axes import Axis, normalize_axes, normalize_axis, normalize_shape
from .indexing import take
from .operands import as_tensor


class Reshape(Function):
    saves_inputs = False

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.input_shape = x.shape
        try:
            return x.reshape(self.shape)
        except ValueError as error:
            raise ShapeError(
                f"reshape: the {x.size} elements of shape {x.shape} do not make shape {self.shape}"
            ) from error

    def backward(self, gradient: Tensor) -> Tensor:
        return reshape(gradient, self.input_shape)


class PermuteDims(Function):
    saves_inputs = False

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return x.transpose(self.axes)

    def backward(self, gradient: Tensor) -> Tensor:
        return permute_dims(gradient, tuple(int(i) for i in np.argsort(self.axes)))


class BroadcastTo(Function):
    saves_inputs = False

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        try:
            return array_module(x).broadcast_to(x, self.shape)
        except ValueError as error:
            raise ShapeError(f"broadcast_to: shape {x.shape} does not stretch to {self.shape}") from error

    def backward(self, gradient: Tensor) -> Tensor:
        return gradient  # the base class sums over the stretched axes


class Flip(Function):
    saves_inputs = False

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return array_module(x).flip(x, self.axes)

    def backward(self, gradient: Tensor) -> Tensor:
        return flip(gradient, self.axes)


class Roll(Function):
    saves_inputs = False

    def __init__(self, shifts: tuple[int, ...], axes: tuple[int, ...]) -> None:
        self.shifts, self.axes = shifts, axes

    def forward(self, x: Array) -> Array:
        return array_module(x).roll(x, self.shifts, self.axes)

    def backward(self, gradient: Tensor) -> Tensor:
        return apply(Roll(tuple(-shift for shift in self.shifts), self.axes), gradient)


class Pad(Function):
    saves_inputs = False

    def __init__(self, widths: tuple[tuple[int, int], ...], value: float) -> None:
        self.widths, self.value = widths, value

    def forward(self, x: Array) -> Array:
        self.inside = tuple(slice(before, before + n) for (before, _), n in zip(self.widths, x.shape, strict=True))
        return array_module(x).pad(x, self.widths, constant_values=self.value)

    def backward(self, gradient: Tensor) -> Tensor:
        return gradient[self.inside]


class Concat(Function):
    saves_inputs = False

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *arrays: Array) -> Array:
        problem = concat_kernels.ConcatProblem(
            tuple(tuple(a.shape) for a in arrays), self.axis, dtype_name(arrays[0].dtype)
        )
        self.ends = list(itertools.accumulate(a.shape[self.axis] for a in arrays))
        return concat_kernels.forward(problem, arrays)

    def backward(self, gradient: Tensor) -> list[Tensor]:
        starts = [0, *self.ends[:-1]]
        before = (slice(None),) * self.axis
        return [gradient[(*before, slice(start, end))] for start, end in zip(starts, self.ends, strict=True)]


class Copy(Function):
    saves_inputs = False

    def forward(self, x: Array) -> Array:
        return x.copy(order="K")

    def backward(self, gradient: Tensor) -> Tensor:
        return gradient


def reshape(x: Any, *shape: Any) -> Tensor:
    """The same elements in another shape, in row-major order; one size may be -1.

    Raises:
        ShapeError: if the number of elements differs.
    """
    x = as_tensor(x, "reshape")
    return apply(Reshape(normalize_shape(shape[0] if len(shape) == 1 else shape, "reshape")), x)


def flatten(x: Tensor, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from `start_axis` to `end_axis`, both included, as one; a single number becomes one element.

    Raises:
        ShapeError: if an axis does not exist, or the last comes before the first.
    """
    if x.ndim == 0:
        x = reshape(x, 1)
    start, end = normalize_axis(start_axis, x.ndim, "flatten"), normalize_axis(end_axis, x.ndim, "flatten")
    if end < start:
        raise ShapeError(f"flatten: end_axis {end_axis} comes before start_axis {start_axis} in shape {x.shape}")
    merged = int(np.prod(x.shape[start : end + 1]))
    return reshape(x, (*x.shape[:start], merged, *x.shape[end + 1 :]))


def permute_dims(x: Any, axes: Sequence[int]) -> Tensor:
    """The axes in another order: axis i of the result is axis `axes[i]` of `x`. A view.

    Raises:
        ShapeError: if `axes` is not a permutation of all axes.
    """
    x = as_tensor(x, "permute_dims")
    order = tuple(normalize_axis(a, x.ndim, "permute_dims") for a in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"permute_dims: {tuple(axes)} is not an order of the {x.ndim} axes of shape {x.shape}")
    return apply(PermuteDims(order), x)


def matrix_transpose(x: Tensor) -> Tensor:
    """The last two axes exchanged."""
    if x.ndim < 2:
        raise ShapeError(f"matrix_transpose: at least two axes are needed, the shape is {x.shape}")
    return permute_dims(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def expand_dims(x: Any, axis: int = 0) -> Tensor:
    """A new axis of size 1 at position `axis`."""
    x = as_tensor(x, "expand_dims")
    axis = normalize_axis(axis, x.ndim + 1, "expand_dims")
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def squeeze(x: Any, axis: Axis = None) -> Tensor:
    """Without the axes named, which must have size 1; without all such axes if None.

    Raises:
        ShapeError: if a named axis has another size.
    """
    x = as_tensor(x, "squeeze")
    if axis is None:
        axes = {i for i, n in enumerate(x.shape) if n == 1}
    else:
        axes = set(normalize_axes(axis, x.ndim, "squeeze"))
    for a in axes:
        if x.shape[a] != 1:
            raise ShapeError(f"squeeze: axis {a} has size {x.shape[a]}, not 1, in shape {x.shape}")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


def broadcast_to(x: Any, shape: int | Sequence[int]) -> Tensor:
    """`x` stretched to `shape` by NumPy's rules. A view that cannot be written to."""
    x = as_tensor(x, "broadcast_to")
    return apply(BroadcastTo(normalize_shape(shape, "broadcast_to")), x)


def concat(arrays: Sequence[Any], axis: int | None = 0) -> Tensor:
    """The arrays one after another along an existing axis; all flattened if `axis` is None.

    Raises:
        ShapeError: if the other axes differ, or there is no array.
    """
    tensors = _several(arrays, "concat")
    if axis is None:
        tensors, axis = [reshape(x, (-1,)) for x in tensors], 0
    axis = normalize_axis(axis, tensors[0].ndim, "concat")
    dtype = np.result_type(*[x.dtype for x in tensors])
    return apply(Concat(axis), *[x if x.dtype == dtype else x.astype(dtype) for x in tensors])


def stack(arrays: Sequence[Any], axis: int = 0) -> Tensor:
    """Arrays of one shape along a new axis.

    Raises:
        ShapeError: if the shapes differ, or there is no array.
    """
    tensors = _several(arrays, "stack")
    if len({x.shape for x in tensors}) != 1:
        raise ShapeError(f"stack: the shapes must be equal, got {', '.join(str(x.shape) for x in tensors)}")
    axis = normalize_axis(axis, tensors[0].ndim + 1, "stack")
    return concat([expand_dims(x, axis) for x in tensors], axis)


def _several(arrays: Sequence[Any], name: str) -> list[Tensor]:
    tensors = [as_tensor(x, name) for x in arrays]
    if not tensors:
        raise ShapeError(f"{name}: at least one array is needed")
    return tensors


def flip(x: Any, axis: Axis = None) -> Tensor:
    """The elements in reverse order along `axis`, along all axes if None."""
    x = as_tensor(x, "flip")
    return apply(Flip(normalize_axes(axis, x.ndim, "flip")), x)


def roll(x: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Tensor:
    """The elements moved along `axis`, those that leave coming in again at the other end; along the flattened
    array if `axis` is None. Several axes need one shift, or one each.

    Raises:
        ShapeError: if an axis does not exist, or the numbers of shifts and axes differ.
    """
    x = as_tensor(x, "roll")
    shifts = normalize_shape(shift, "roll: shift")
    if axis is None:
        return roll(x.reshape(-1), sum(shifts), 0).reshape(x.shape)
    axes = tuple(normalize_axis(a, x.ndim, "roll") for a in (axis if isinstance(axis, list | tuple) else (axis,)))
    if len(shifts) == 1:
        shifts *= len(axes)
    if len(shifts) != len(axes):
        raise ShapeError(f"roll: shift {shift} and axis {axis} must be of one length")
    return apply(Roll(shifts, axes), x)


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Tensor:
    """Elements added at both ends of the axes, as `numpy.pad` does.

    Args:
        pad_width: n, (before, after), or a pair an axis.
        mode: "constant", "edge", "reflect", "symmetric" or "wrap".

    Raises:
        ShapeError: for another mode, or widths that are negative or do not fit the axes.
    """
    x = as_tensor(x, "pad")
    given = np.asarray(pad_width)
    if given.dtype.kind not in "iu":
        raise ShapeError(f"pad: widths are integers, got {pad_width}")
    try:
        widths = tuple((int(b), int(a)) for b, a in np.broadcast_to(given, (x.ndim, 2)))
    except ValueError as error:
        raise ShapeError(f"pad: pad_width {pad_width} does not fit the axes of shape {x.shape}") from error
    if any(w < 0 for pair in widths for w in pair):
        raise ShapeError(f"pad: widths must not be negative, got {pad_width}")
    if mode == "constant":
        return apply(Pad(widths, constant_values), x)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ShapeError(f"pad: there is no mode {mode!r}; use constant, edge, reflect, symmetric or wrap")
    for axis, pair in enumerate(widths):
        if any(pair) and not x.shape[axis]:
            raise ShapeError(f"pad: mode {mode!r} has nothing to repeat on axis {axis} of shape {x.shape}")
        if any(pair):
            x = take(x, np.pad(np.arange(x.shape[axis]), pair, mode=mode), axis)  # type: ignore[call-overload]
    return x


def copy(x: Tensor) -> Tensor:
    """The same values in memory of their own; gradients flow through."""
    return apply(Copy(), x)
