"""Options that a variant may know or not: what it could save, and where its result is wanted.

A variant whose function has a keyword `out` writes its (first) result there: to a channels-last array, or to a
slice of channels of one. Others, a person's own among them, need not know of it: they give memory of their own,
and whoever asked looks where the result lies.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable
from typing import Any

from .arrays import Array, device_of
from .registry import Operation


@functools.cache
def knows(function: Callable[..., Any], option: str) -> bool:
    """Whether `function` has a parameter of the name `option`."""
    return option in inspect.signature(function).parameters


def supported(operation: Operation, problem: Hashable, like: Array, **options: Any) -> dict[str, Any]:
    """Those of `options`, if not None, that the variant knows which will run `problem` on the device of `like`."""
    options = {name: value for name, value in options.items() if value is not None}
    if not options:
        return options
    function = operation.select(problem, device_of(like)).function
    return {name: value for name, value in options.items() if knows(function, name)}
