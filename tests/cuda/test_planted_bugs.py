"""The emulator finds mistakes: each kernel of planted_bugs.cu has one, and runs once with it and once without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from claims.variants import without_compiler
from minigrad.kernels.cuda import emulated_numpy as xp
from minigrad.kernels.cuda.emulated_array import empty
from minigrad.kernels.cuda.emulation import thread_order
from minigrad.kernels.cuda.launch import CudaSource
from minigrad.kernels.errors import KernelError

SOURCE = CudaSource(str(Path(__file__).parent / "planted_bugs.cu"), BUG=("0", "1"))
ORDERS = (0, 1, 2, 7)
THREADS = 64  # as in the file

pytestmark = without_compiler

# What the message must name: the kernel is in all of them.
FOUND = {
    "missing_barrier": ["argument 1", "memory that nobody had set"],
    "write_behind": ["block (1, 0, 0), thread (6, 0, 0)", "8 bytes behind the end of argument 1"],
    "write_before": ["block (0, 0, 0), thread (3, 0, 0)", "8 bytes before the start of argument 1"],
    "write_far_away": ["block (0, 0, 0), thread (5, 0, 0)", "no memory of the kernel"],
    "unwritten_output": ["argument 1, float32 of shape (128,), unwritten at index (77,)"],
    "unset_shared_memory": ["argument 1", "index (63,)", "memory that nobody had set"],
    "write_behind_shared": ["thread (9, 0, 0)", "behind its 256 bytes of dynamic shared memory"],
    "index_outside_of_shared": ["thread (60, 0, 0)", "planted_bugs.cu:", "element 64 of 'float [64]'"],
    "barrier_not_for_all": ["planted_bugs.cu:", "thread (7, 0, 0) has left the kernel without it"],
    "two_barriers": ["planted_bugs.cu:", "a barrier must be reached by all"],
    "shuffle_without_a_lane": [
        "block (",  # either: they run at the same time
        "thread (4, 0, 0) has left the kernel without it",
    ],
    "misaligned_vector": ["planted_bugs.cu:", "float4", "no multiple of 16"],
    "missing_copy_wait": ["argument 1", "memory that nobody had set"],
}


def run(kernel: str, bug: int, order: int) -> np.ndarray:
    x, y = xp.arange(2 * THREADS, dtype=np.float32), empty((2 * THREADS,), np.float32)
    blocks = 1 if kernel == "missing_second_barrier" else 2
    with thread_order(order):
        SOURCE.kernel(kernel, BUG=bug)((blocks,), (THREADS,), x, y, shared_bytes=4 * THREADS)
    return y.get()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kernel", FOUND)
def test_the_mistake_is_found_and_named(kernel: str, order: int) -> None:
    with pytest.raises(KernelError) as caught:
        run(kernel, 1, order)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in [f"kernel {kernel}", *FOUND[kernel]]:
        assert fragment in message, f"{fragment!r} is not in {message!r}"


@pytest.mark.parametrize("kernel", SOURCE.kernels)
def test_without_the_mistake_every_order_of_threads_gives_the_same_bits(kernel: str) -> None:
    assert len({run(kernel, 0, order).tobytes() for order in ORDERS}) == 1


def test_a_race_shows_as_results_that_depend_on_the_order_of_threads() -> None:
    """Here nothing is read that was never set, so no single run can tell."""
    assert len({run("missing_second_barrier", 1, order).tobytes() for order in ORDERS}) > 1


def test_a_launch_after_a_failed_one_is_sound() -> None:
    for kernel in ("barrier_not_for_all", "write_far_away", "write_behind"):
        with pytest.raises(KernelError):
            run(kernel, 1, 0)
        np.testing.assert_array_equal(run(kernel, 0, 0), np.arange(2 * THREADS))
