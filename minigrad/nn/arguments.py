"""Checks of constructor arguments: a layer that cannot be is refused where it is written."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.errors import MinigradError, ShapeError

Pair = tuple[int, int]


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def integer(layer: str, name: str, value: Any, least: int = 1) -> int:
    """`value` as an int of at least `least`.

    Raises:
        ShapeError: if it is anything else.
    """
    if not _is_integer(value) or value < least:
        raise ShapeError(f"{layer}: {name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def pair(layer: str, name: str, value: Any, least: int = 1) -> Pair:
    """`value`, an integer for both axes or one for height and one for width, as (height, width).

    Raises:
        ShapeError: if it is neither, or a number is less than `least`.
    """
    both = (value, value) if _is_integer(value) else value
    if (
        not isinstance(both, tuple | list)
        or len(both) != 2
        or not all(_is_integer(n) and n >= least for n in both)
    ):
        raise ShapeError(
            f"{layer}: {name} must be an integer of at least {least} or a pair (height, width), got {value!r}"
        )
    return int(both[0]), int(both[1])


def number(layer: str, name: str, value: Any, least: float = 0.0, most: float = float("inf")) -> float:
    """`value` as a float from `least` to `most`.

    Raises:
        MinigradError: if it is anything else, NaN included.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not least <= value <= most:
        limits = f"at least {least:g}" if most == float("inf") else f"from {least:g} to {most:g}"
        raise MinigradError(f"{layer}: {name} must be a number, {limits}, got {value!r}")
    return float(value)
