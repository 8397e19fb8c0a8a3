"""Checks of arguments that data sets, their preparation and the loader share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.kernels.errors import MinigradError


def whole_number(name: str, value: Any, least: int) -> int:
    """`value`, an integer of at least `least`; raises MinigradError if it is anything else."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise MinigradError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise MinigradError(f"{name} must be at least {least}, not {value}")
    return int(value)


def is_finite(value: Any) -> bool:
    """Whether `value` is a real number that is finite."""
    return isinstance(value, int | float | np.integer | np.floating) and math.isfinite(value)
