"""Which element types the compiled kernels are made for."""

from __future__ import annotations

from typing import Protocol


class HasDType(Protocol):
    @property
    def dtype(self) -> str: ...


def refuses_other_than_floats(problem: HasDType) -> str | None:
    """The reason why a compiled kernel cannot run `problem`, or None."""
    if problem.dtype in ("float32", "float64"):
        return None
    return f"it is compiled for float32 and float64, not {problem.dtype}"
