"""Parallel loops that compile fast: a serial kernel for one task, and one launcher for all of them.

    @task_kernel
    def _scale(task, tasks, x, factor, y):
        for i in range(*span(task, tasks, x.size)):
            y[i] = factor * x[i]

    _scale(tasks, x, factor, y)     # runs _scale(0, tasks, ...), ..., _scale(tasks - 1, tasks, ...) on all threads

Numba can compile such a loop itself (`jit.parallel_jit`), but what surrounds each `prange` costs one to two
seconds a kernel to compile, most of it for the arguments. Here `prange` is compiled once, in `_launch`, which
calls a kernel through a function pointer; the arguments travel as a table of 64-bit slots that the compiled
entry of the kernel turns back into what they were. A kernel then compiles in a third of the time.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import processor
from .jit import entry_point, jit, parallel_jit
from .recording import Launch, recording

SLOT = ir.IntType(64)
ELEMENTS_PER_TASK = 1 << 14  # some microseconds of work, about what waking a thread costs
MOST_TASKS = 64


# NumPy's C interface fixes that the address of the data follows the head of the object. Reading it there takes a
# tenth of the two microseconds of `array.ctypes.data`, and a step passes some ten thousand arrays.
_ADDRESS_OFFSET = object.__basicsize__


def address_of(array: np.ndarray) -> int:
    """The address of the first element; the caller keeps the array alive."""
    return ctypes.c_ssize_t.from_address(id(array) + _ADDRESS_OFFSET).value


def tasks_for(elements: int) -> int:
    """Into how many tasks to cut work on so many elements; one where that is not worth another thread.

    It depends on the work alone, not on the number of threads, so that sums are always grouped alike.
    """
    return max(1, min(MOST_TASKS, elements // ELEMENTS_PER_TASK))


def _calling(typing_context, function, task, tasks, slots):  # type: ignore[no-untyped-def]
    """Call the compiled entry at address `function`."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        entry = ir.FunctionType(ir.VoidType(), [SLOT] * 3).as_pointer()
        builder.call(builder.inttoptr(arguments[0], entry), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), generate


call_entry: Any = intrinsic(_calling)


@parallel_jit
def _launch(function, tasks, slots):  # type: ignore[no-untyped-def]
    for task in numba.prange(tasks):
        call_entry(function, np.int64(task), tasks, slots)


@jit
def _launch_one(function, slots):  # type: ignore[no-untyped-def]
    call_entry(function, 0, 1, slots)


def compile_launchers() -> None:
    """Compile what launches kernels."""
    _launch(0, 0, 0)
    _launch_one.compile((types.int64, types.int64))  # type: ignore[attr-defined]


def _unpacking(typing_context, slots):  # type: ignore[no-untyped-def]
    """The arguments in the table at `slots`, a pointer whose type says what they are."""
    kinds = slots.dtype

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        table = builder.bitcast(arguments[0], SLOT.as_pointer())
        position = 0

        def load() -> ir.Value:
            nonlocal position
            position += 1
            return builder.load(builder.gep(table, [ir.Constant(SLOT, position - 1)]))

        values = [_rebuild(context, builder, kind, load) for kind in kinds]
        return context.make_tuple(builder, kinds, values)

    return kinds(slots), generate


_unpack: Any = intrinsic(_unpacking)


def _rebuild(context: Any, builder: ir.IRBuilder, kind: Any, load: Callable[[], ir.Value]) -> ir.Value:
    """One argument of type `kind` from the slots that `load` gives one by one."""
    if isinstance(kind, types.Array):
        element = context.get_data_type(kind.dtype)
        size = context.get_constant(types.intp, context.get_abi_sizeof(element))
        data = builder.inttoptr(load(), element.as_pointer())
        shape = [load() for _ in range(kind.ndim)]
        strides = [size]
        for length in shape[:0:-1]:
            strides.insert(0, builder.mul(strides[0], length))
        array = context.make_array(kind)(context, builder)
        context.populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
        return array._getvalue()
    if isinstance(kind, types.UniTuple):
        return cgutils.pack_array(builder, [load() for _ in range(kind.count)])
    if isinstance(kind, types.Float):
        value = builder.bitcast(load(), ir.DoubleType())
        return value if kind.bitwidth == 64 else builder.fptrunc(value, ir.FloatType())
    return load()


def _element(argument: Any) -> Any:
    return numba.from_dtype(argument.dtype)


def _kind(argument: Any) -> Any:
    """Numba's type of an argument."""
    if isinstance(argument, np.ndarray):
        return types.Array(_element(argument), argument.ndim, "C")
    if isinstance(argument, tuple):
        return types.UniTuple(types.int64, len(argument))
    if isinstance(argument, np.generic):
        return _element(argument)
    return types.float64 if isinstance(argument, float) else types.int64


def _entry(task, tasks, slots):  # type: ignore[no-untyped-def]
    _kernel(task, tasks, *_unpack(slots))  # type: ignore[name-defined]  # noqa: F821


class TaskKernel:
    """A compiled kernel for one task, called with the number of tasks and the kernel's other arguments.

    Arguments are C-contiguous arrays, integers, floats, NumPy scalars of 32- and 64-bit floats
    and 64-bit integers, and tuples of integers. The kernel gets them after its own number and the number
    of tasks; it returns and raises nothing.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self._kernel = jit(function)
        self._entries: dict[tuple[Any, ...], Any] = {}

    def __call__(self, tasks: int, *arguments: Any) -> None:
        key: list[Any] = []
        slots: list[int] = []
        for argument in arguments:
            kind = type(argument)
            if kind is int:
                key.append(kind)
                slots.append(argument)
            elif kind is tuple:
                key.append(len(argument))
                slots += argument
            elif isinstance(argument, np.ndarray):
                if not argument.flags.c_contiguous or not argument.dtype.isnative:
                    raise ValueError(
                        f"{self.function.__name__}: arrays must be C-contiguous, in native byte order"
                    )
                key += argument.dtype.char, argument.ndim
                slots += address_of(argument), *argument.shape
            else:
                key.append(kind)
                slots.append(_bits(argument))
        needed = _needed.get()
        if needed is not None:
            needed.setdefault((self, *key), (self, arguments))
            return
        entry = self._entries.get(tuple(key))
        if entry is None:
            entry = self._entries[tuple(key)] = self.compile(arguments)
        table = np.array(slots, np.int64)
        present = recording()
        if present is not None:
            present.keep_launch(Launch(entry.address, tasks, table), arguments)
        if tasks == 1:
            _launch_one(entry.address, address_of(table))  # wakes no other thread
        else:
            _launch(entry.address, tasks, address_of(table))

    def compile(self, arguments: tuple[Any, ...]) -> Any:
        """The compiled entry for arguments of these types, from the disk where it was compiled before."""
        processor.read_environment()
        # The entry stands, for Numba's cache, where the kernel stands: one file and line a kernel. What it calls
        # must be its globals, since captured variables would make the key of the cache new in every process.
        origin = self.function.__code__
        code = _entry.__code__.replace(co_filename=origin.co_filename, co_firstlineno=origin.co_firstlineno)
        entry = FunctionType(code, {"_kernel": self._kernel, "_unpack": _unpack}, "entry")
        entry.__module__ = self.function.__module__
        entry.__qualname__ = f"{self.function.__qualname__}.entry"
        slots = types.CPointer(types.Tuple([_kind(argument) for argument in arguments]))
        signature = types.void(types.int64, types.int64, slots)
        return entry_point(entry, signature)


Needed = tuple[TaskKernel, tuple[Any, ...]]
_needed: ContextVar[dict[tuple[Any, ...], Needed] | None] = ContextVar("minigrad_needed_kernels", default=None)


@contextmanager
def collecting() -> Iterator[ValuesView[Needed]]:
    """Inside this `with` block kernels are not launched: what it gives lists each, with arguments of its types.

    What a kernel would tell the host, which then decides what to launch, must be zeros before the launch.
    """
    needed: dict[tuple[Any, ...], Needed] = {}
    token = _needed.set(needed)
    try:
        yield needed.values()
    finally:
        _needed.reset(token)


def _bits(number: Any) -> int:
    """A number as a signed 64-bit slot."""
    if isinstance(number, float | np.floating):
        return int(struct.unpack("q", struct.pack("d", number))[0])
    return (int(number) + 2**63) % 2**64 - 2**63


def task_kernel(function: Callable[..., None]) -> TaskKernel:
    """Decorator: compile `function(task, tasks, ...)` to be run for all tasks on all threads."""
    return TaskKernel(function)
