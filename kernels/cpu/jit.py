"""How the CPU kernels are compiled: Numba, cached on disk, one thread pool.

Loops over `prange` are the only parallelism; whatever runs inside them, BLAS included, uses
one thread. Handing work between two thread pools costs milliseconds a layer.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from ..errors import MinigradError, ThreadsError
from . import processor  # noqa: F401  (Numba keeps what it compiles for from its first function on)
from .cache import kept_in_folder

ENVIRONMENT_VARIABLE = "MINIGRAD_NUM_THREADS"

# Threads that wait for the others sleep instead of spinning. Where another program wants a core, spinning keeps
# the very thread that is waited for from running: a step took three times as long. Read when the pool starts.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Sums may be reordered into vector lanes and multiply-adds contracted; NaN and infinity keep their meaning.
FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}

# Called after each change of the number of threads.
thread_listeners: list[Callable[[], None]] = []


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    with kept_in_folder():
        compiled: Callable[..., Any] = numba.njit(cache=True, error_model="numpy", **options)(function)
    return compiled


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a serial function, to be called inside parallel kernels."""
    return _compiled(function, fastmath=FAST_MATH)


def exact_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a serial function with IEEE arithmetic: the same operands give the same bits in every caller."""
    # Left unsaid, the flags would be those of the first caller that gets compiled.
    return _compiled(function, fastmath=False)


def parallel_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel whose `numba.prange` loops run on all of minigrad's threads."""
    return _compiled(function, fastmath=FAST_MATH, parallel=True, nogil=True)


def entry_point(function: Callable[..., Any], signature: Any) -> Any:
    """Compile a function that other compiled code calls by its address."""
    with kept_in_folder():
        return numba.cfunc(signature, cache=True, fastmath=FAST_MATH, error_model="numpy")(function)


def set_num_threads(count: int) -> None:
    """Let the CPU kernels use `count` threads, at most the number of cores.

    Raises:
        ThreadsError: if `count` is no integer from 1 to the number of threads Numba was started with.
    """
    limit: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= limit:
        raise ThreadsError(f"the number of threads must be an integer between 1 and {limit}, got {count!r}")
    numba.set_num_threads(int(count))
    for listener in thread_listeners:
        listener()


def get_num_threads() -> int:
    """The number of threads that the CPU kernels use."""
    return int(numba.get_num_threads())


def read_environment() -> None:
    """Apply MINIGRAD_NUM_THREADS.

    Raises:
        MinigradError: if it is no number of threads that there can be.
    """
    text = os.environ.get(ENVIRONMENT_VARIABLE)
    if text is None:
        return
    try:
        set_num_threads(int(text))
    except ValueError as error:
        raise MinigradError(f"environment variable {ENVIRONMENT_VARIABLE}={text!r}: {error}") from None


# An error of an import could not be told in one line: the command line reads the variable again, and tells.
with contextlib.suppress(MinigradError):
    read_environment()
