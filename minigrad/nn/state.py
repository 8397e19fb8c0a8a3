"""Copying saved values into parameters and buffers: all of them, or, where anything does not fit, none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..kernels.arrays import Array, on_host
from ..kernels.errors import MinigradError
from ..tensor import Tensor, is_floating

LISTED = 20  # names an error shows of each kind; a checkpoint of another model may differ in hundreds


class StateError(MinigradError, ValueError):
    """Saved values that do not belong to the module they were to be loaded into."""


class Difference(NamedTuple):
    """Names that a module has and the saved values have not, and the reverse."""

    missing: list[str]
    unexpected: list[str]


def load(owner: str, targets: Mapping[str, Tensor], values: Any, strict: bool) -> Difference:
    """Copy `values` into `targets` by name; see `Module.load_state_dict`."""
    if not isinstance(values, Mapping):
        raise StateError(f"{owner}: a state is a mapping from names to arrays, not a {type(values).__name__}")
    difference = Difference(
        [name for name in targets if name not in values], [name for name in values if name not in targets]
    )
    arrays: dict[str, Array] = {}
    unfit: list[str] = []
    for name, target in targets.items():
        if name in values:
            try:
                arrays[name] = _fitting(target, values[name])
            except (ValueError, TypeError, RuntimeError) as error:
                unfit.append(f"{name} ({error})")
    problems = [("missing", difference.missing), ("unexpected", difference.unexpected)] if strict else []
    problems.append(("not fitting", unfit))
    if any(names for _, names in problems):
        raise StateError(
            f"{owner}: this state does not belong to it; nothing was loaded. "
            + "; ".join(f"{len(names)} {kind}: {_listing(names)}" for kind, names in problems if names)
        )
    for name, array in arrays.items():
        targets[name].data[...] = array
        targets[name].note_change(f"load_state_dict() ({name})")
    return difference


def _fitting(target: Tensor, value: Any) -> Array:
    """`value` as an array that can be copied into `target`; ValueError says why not."""
    if isinstance(value, Tensor):
        value = value.data
    array = on_host(value.detach().cpu() if hasattr(value, "cpu") else value)  # PyTorch's, from any device
    if array.shape != target.shape:
        raise ValueError(f"shape {array.shape}, expected {target.shape}")
    real = is_floating(array.dtype)
    if real != is_floating(target.dtype) or not (real or array.dtype.kind in "iub"):
        raise ValueError(f"dtype {array.dtype}, expected {target.dtype}")
    return target.xp.asarray(array)


def _listing(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
