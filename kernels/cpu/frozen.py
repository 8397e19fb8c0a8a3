"""Arrays that will never change, and forms of them that kernels keep.

Kernels read a filter in an order of their own: packed into panels, or transformed. While weights are trained,
that form is made at every call. A filter that is frozen keeps it for as long as it lives.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable

import numpy as np

_forms: dict[int, dict[Hashable, np.ndarray]] = {}


def freeze(array: np.ndarray) -> np.ndarray:
    """`array` itself, read-only from now on: nobody may hold another view of its memory to write through."""
    array.flags.writeable = False
    if id(array) not in _forms:
        _forms[id(array)] = {}
        weakref.finalize(array, _forms.pop, id(array)).atexit = False
    return array


def form_of(array: np.ndarray, name: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What `make()` derives from `array`; made once for a frozen array, and kept under `name`."""
    forms = _forms.get(id(array))
    if forms is None:
        return make()
    form = forms.get(name)
    if form is None:
        form = forms[name] = make()
    return form
