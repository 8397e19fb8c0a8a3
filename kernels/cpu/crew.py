"""Many launches by one crew of threads that stays awake between them.

Waking a thread for a launch costs tens of microseconds, and a small kernel takes no longer. Here threads are woken
once for a whole plan. Each goes through the launches in order: it takes tasks of a launch while there are any, and
goes on to the next launch when all tasks of this one are done, by whichever threads. A thread that comes late, or
not at all, holds up no other. A thread that has to wait looks again at once for some microseconds, and then gives
way to other programs.
"""

from __future__ import annotations

import platform
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import tasks
from .jit import jit, parallel_jit
from .tasks import call_entry

LOOKS = 2000  # before giving way: about 100 microseconds


def _adding(typing_context, counters, position, count):  # type: ignore[no-untyped-def]
    """counters[position] += count in one step; gives what was there before.

    A thread that then reads the counter sees all that this one wrote to memory before.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.atomic_rmw("add", place, arguments[2], "seq_cst")

    return types.int64(counters, types.int64, types.int64), generate


_add: Any = intrinsic(_adding)


def _reading(typing_context, counters, position):  # type: ignore[no-untyped-def]
    """counters[position], read anew each time."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.load_atomic(builder.gep(array.data, [arguments[1]]), "acquire", 8)

    return types.int64(counters, types.int64), generate


_read: Any = intrinsic(_reading)


def _pausing(typing_context):  # type: ignore[no-untyped-def]
    """Tell the core that this thread looks again and again, so that it does so slowly."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        if platform.machine() in ("x86_64", "AMD64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


_pause: Any = intrinsic(_pausing)


def yielding_call() -> Any:
    """The call of POSIX or Windows by which a thread lets others run; where there is neither, a pause."""
    for name in ("sched_yield", "SwitchToThread"):
        if llvmlite.binding.address_of_symbol(name) is not None:
            return types.ExternalFunction(name, types.int32())
    return _pause


_give_way: Any = yielding_call()


@jit
def _work(launches, taken, done):  # type: ignore[no-untyped-def]
    """One thread's way through `launches` (n, 3): entry, number of tasks, slots."""
    for number in range(launches.shape[0]):
        entry, tasks, slots = launches[number, 0], launches[number, 1], launches[number, 2]
        task = _add(taken, number, 1)
        while task < tasks:
            call_entry(entry, task, tasks, slots)
            _add(done, number, 1)
            task = _add(taken, number, 1)
        looks = 0
        while _read(done, number) < tasks:
            looks += 1
            if looks < LOOKS:
                _pause()
            else:
                _give_way()


@parallel_jit
def _work_together(threads, launches, taken, done):  # type: ignore[no-untyped-def]
    for _ in numba.prange(threads):
        _work(launches, taken, done)


def compile_launchers() -> None:
    """Compile what launches kernels, one by one and as a plan."""
    tasks.compile_launchers()
    launch_all(1, np.zeros((0, 3), np.int64))


def launch_all(threads: int, launches: np.ndarray) -> None:
    """Do the launches in order with so many threads; `launches` as `_work` has them."""
    taken, done = np.zeros((2, len(launches)), np.int64)
    _work_together(threads, launches, taken, done)
