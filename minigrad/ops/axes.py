"""Axes and shapes as people write them, checked and brought to one form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels.errors import ShapeError

Axis = int | Sequence[int] | None


def normalize_axis(axis: Any, ndim: int, name: str) -> int:
    """`axis` as a number in [0, ndim).

    Raises:
        ShapeError: if it is not an integer, or there is no such axis.
    """
    if not isinstance(axis, int | np.integer):
        raise ShapeError(f"{name}: an axis is an integer, got {axis!r}")
    if not -ndim <= axis < ndim:
        raise ShapeError(f"{name}: axis {axis} does not exist in {ndim} dimensions")
    return int(axis) % ndim


def normalize_axes(axis: Axis, ndim: int, name: str) -> tuple[int, ...]:
    """`axis` (one, several, or None for all) as a tuple of different numbers in [0, ndim).

    Raises:
        ShapeError: if an axis does not exist or is named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(normalize_axis(a, ndim, name) for a in (axis if isinstance(axis, list | tuple) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: axis {axis} names an axis twice")
    return axes


def normalize_shape(shape: Any, name: str) -> tuple[int, ...]:
    """`shape`, one size or several, as a tuple of integers.

    Raises:
        ShapeError: if a size is not an integer.
    """
    sizes = tuple(shape) if isinstance(shape, list | tuple) else (shape,)
    if not all(isinstance(n, int | np.integer) for n in sizes):
        raise ShapeError(f"{name}: a shape is made of integers, got {shape!r}")
    return tuple(int(n) for n in sizes)
