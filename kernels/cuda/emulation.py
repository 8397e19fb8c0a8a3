"""The last step of a launch on the device "emulated": the kernel as C++, called through ctypes.

Before it, the arguments are compared with what the kernel takes; behind it, what it had to write is looked at.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from ..cpu.jit import get_num_threads
from ..errors import KernelError
from . import compiler, recording
from .counts import Counts
from .emulated_array import GUARD_BYTES, EmulatedArray, first_poisoned, guards

Size = tuple[int, int, int]
ERROR_BYTES = 2048
COUNTED = tuple(item.name for item in fields(Counts))[1:]

_seed: ContextVar[int] = ContextVar("minigrad_thread_order", default=0)


_counts: ContextVar[list[Counts] | None] = ContextVar("minigrad_counts", default=None)


@contextmanager
def counted() -> Iterator[list[Counts]]:
    """The counts of each launch inside this `with` block, which is slower: kernels are compiled for it."""
    counts: list[Counts] = []
    token = _counts.set(counts)
    try:
        yield counts
    finally:
        _counts.reset(token)


def are_counted() -> bool:
    """Whether launches are counted at this place of the program."""
    return _counts.get() is not None


@contextmanager
def thread_order(seed: int) -> Iterator[None]:
    """Inside this `with` block, the emulator visits threads in the order that `seed` gives; 0 is by number."""
    token = _seed.set(seed)
    try:
        yield
    finally:
        _seed.reset(token)


class _Guard(ctypes.Structure):
    _fields_ = (
        ("start", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("argument", ctypes.c_int),
        ("behind", ctypes.c_int),
    )


class _Range(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_uint64))


class _Counts(ctypes.Structure):
    """`emulator::Counts`, in the order of `Counts`, behind its threads."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in COUNTED)


class _Launch(ctypes.Structure):
    """`emulator::Launch` of emulator/runtime.h."""

    _fields_ = (
        ("kernel", ctypes.c_char_p),
        ("entry", ctypes.c_void_p),
        ("static_shared", ctypes.c_void_p),
        ("slots", ctypes.POINTER(ctypes.c_void_p)),
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("shared_bytes", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("guards", ctypes.POINTER(_Guard)),
        ("guard_count", ctypes.c_int32),
        ("workers", ctypes.c_int32),
        ("error", ctypes.c_char_p),
        ("error_size", ctypes.c_uint64),
        ("ranges", ctypes.POINTER(_Range)),
        ("range_count", ctypes.c_uint64),
        ("counts", _Counts),
    )


class EmulatedKernel:
    """One kernel, compiled by g++.

    Args:
        counting: compiled for launches inside of `counted`.

    Raises:
        KernelError: if there is no g++, or the file does not compile.
    """

    def __init__(
        self,
        source: Path,
        kernels: tuple[str, ...],
        name: str,
        defines: tuple[tuple[str, str], ...],
        counting: bool = False,
    ) -> None:
        self.name = name
        self._library = compiler.kernel_library(source, kernels, defines, counting)
        describe = getattr(self._library, f"parameters_of_{name}")
        describe.restype = ctypes.c_char_p
        self._parameters = [tuple(text.split(":")) for text in describe().decode().split()]
        self._entry = ctypes.cast(getattr(self._library, f"emulated_{name}"), ctypes.c_void_p).value
        self._static_shared = ctypes.cast(self._library.emulated_static_shared, ctypes.c_void_p).value

    def __call__(
        self, grid: Size, block: Size, arguments: Sequence[Any], shared_bytes: int, reaches: Sequence[Any] = ()
    ) -> None:
        values = self._checked(arguments)
        if recording.is_on():
            recording.keep(lambda: self._launch(grid, block, values, arguments, shared_bytes, reaches))
        else:
            self._launch(grid, block, values, arguments, shared_bytes, reaches)

    def _launch(
        self,
        grid: Size,
        block: Size,
        values: list[Any],
        arguments: Sequence[Any],
        shared_bytes: int,
        reaches: Sequence[Any],
    ) -> None:
        slots = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        found = [guard for i, array in enumerate((*arguments, *reaches)) for guard in _guards(array, i)]
        error = ctypes.create_string_buffer(ERROR_BYTES)
        counts = _counts.get()
        ranges = [] if counts is None else [_Range(*span) for span in _spans((*arguments, *reaches))]
        launch = _Launch(
            self.name.encode(), self._entry, self._static_shared, slots, grid, block, shared_bytes, _seed.get(),
            (_Guard * len(found))(*found), len(found), get_num_threads(),
            ctypes.cast(error, ctypes.c_char_p), ERROR_BYTES, (_Range * len(ranges))(*ranges), len(ranges),
        )  # fmt: skip
        if compiler.runtime().emulator_launch(ctypes.byref(launch)):
            raise KernelError(error.value.decode(errors="replace"))
        if counts is not None:
            measured = [int(getattr(launch.counts, name)) for name in COUNTED]
            counts.append(Counts(math.prod((*grid, *block)), *measured))
        self._look_for_poison(arguments)

    def _checked(self, arguments: Sequence[Any]) -> list[Any]:
        """The arguments as ctypes values, once they are what the kernel's parameters ask for."""
        if len(arguments) != len(self._parameters):
            raise KernelError(f"kernel {self.name} takes {len(self._parameters)} arguments, got {len(arguments)}")
        return [
            self._value(number, argument, kind, int(size))
            for number, (argument, (kind, size)) in enumerate(zip(arguments, self._parameters, strict=True))
        ]

    def _value(self, number: int, argument: Any, kind: str, size: int) -> Any:
        where = f"kernel {self.name}, argument {number}"
        if kind == "value":
            if isinstance(argument, EmulatedArray) or not isinstance(argument, np.ndarray | np.generic):
                raise KernelError(f"{where}: the kernel takes a value of {size} bytes, not an array")
            if argument.nbytes != size:
                raise KernelError(
                    f"{where}: the kernel takes a value of {size} bytes, {argument.dtype} has {argument.nbytes}"
                )
            return (ctypes.c_char * size).from_buffer_copy(argument.tobytes())
        if argument is None:
            return ctypes.c_void_p(None)
        if not isinstance(argument, EmulatedArray):
            raise KernelError(f"{where}: the kernel takes an array, got {type(argument).__name__}")
        # A kernel may take elements by several at once, or in parts.
        if size % argument.itemsize and argument.itemsize % size:
            raise KernelError(f"{where}: the kernel takes elements of {size} bytes, not {argument.dtype}")
        if kind == "out" and not argument.flags.writeable:
            raise KernelError(f"{where}: the kernel writes to an array that is read-only")
        return ctypes.c_void_p(argument.__array_interface__["data"][0])

    def _look_for_poison(self, arguments: Sequence[Any]) -> None:
        for number, (argument, (kind, _)) in enumerate(zip(arguments, self._parameters, strict=True)):
            if kind == "out" and argument is not None:
                index = first_poisoned(argument)
                if index is not None:
                    raise KernelError(
                        f"kernel {self.name} leaves argument {number}, {argument.dtype} of shape "
                        f"{argument.shape}, unwritten at index {index}, or wrote there what it read from memory "
                        "that nobody had set"
                    )


def _guards(argument: Any, number: int) -> Iterator[_Guard]:
    """The guards around an argument that is an array."""
    addresses = guards(argument) if isinstance(argument, EmulatedArray) else None
    if addresses is not None:
        for behind, address in enumerate(addresses):
            yield _Guard(address, GUARD_BYTES, number, behind)


def _spans(arguments: Sequence[Any]) -> list[tuple[int, int]]:
    """Start and size of the memory of all arguments that are arrays, in rising order and without overlaps."""
    spans = []
    for array in arguments:
        if isinstance(array, EmulatedArray) and array.size:
            around = guards(array)
            low, high = byte_bounds(array) if around is None else (around[0] + GUARD_BYTES, around[1])
            spans.append((low, high))
    merged: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return [(low, high - low) for low, high in merged]
