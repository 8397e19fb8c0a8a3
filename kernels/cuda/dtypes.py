"""The element types that CUDA kernels are compiled for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

# Element types by the name of their dtype.
REAL = {"float32": "float", "float64": "double", "float16": "__half", "bfloat16": "__nv_bfloat16"}
# How many of them are 16 bytes, the most that a thread loads at once.
WIDEST = {"float": "4", "double": "2", "__half": "8", "__nv_bfloat16": "8"}


def of_no_use(defines: Mapping[str, str]) -> bool:
    """Whether VECTOR is neither one element of REAL nor 16 bytes of it: no launch asks for that."""
    return defines["VECTOR"] not in ("1", WIDEST[defines["REAL"]])


def refuses_other_dtypes(problem: Any, dtypes: Collection[str] = tuple(REAL)) -> str | None:
    """The reason why a kernel compiled for `dtypes` cannot run `problem`, or None."""
    return None if problem.dtype in dtypes else f"it is compiled for {', '.join(dtypes)}, not {problem.dtype}"
