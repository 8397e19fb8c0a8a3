"""Checks of constructor arguments: a layer that cannot be is refused where it is written."""

from __future__ import annotations

from typing import Any

from ..kernels.errors import ShapeError
from .functional.arguments import integer, is_integer, number

__all__ = ["Pair", "integer", "number", "pair"]

Pair = tuple[int, int]


def pair(layer: str, name: str, value: Any, least: int = 1) -> Pair:
    """`value`, an integer for both axes or one for height and one for width, as (height, width).

    Raises:
        ShapeError: if it is neither, or a number is less than `least`.
    """
    both = (value, value) if is_integer(value) else value
    if not isinstance(both, tuple | list) or len(both) != 2 or not all(is_integer(n) and n >= least for n in both):
        raise ShapeError(
            f"{layer}: {name} must be an integer of at least {least} or a pair (height, width), got {value!r}"
        )
    return int(both[0]), int(both[1])
