"""What a launch is counted to do is what can be counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from claims.variants import without_compiler
from minigrad.kernels.cuda import emulated_numpy as xp
from minigrad.kernels.cuda.counts import Counts, total
from minigrad.kernels.cuda.emulated_array import empty
from minigrad.kernels.cuda.emulation import counted
from minigrad.kernels.cuda.launch import CudaSource

SOURCE = CudaSource(str(Path(__file__).parent / "counted.cu"))
FEATURES = CudaSource(str(Path(__file__).parent / "features.cu"), TYPE=("__half", "__nv_bfloat16"))

pytestmark = without_compiler


def floats(count: int, dtype: Any = np.float32) -> Any:
    return xp.array(np.arange(count).astype(dtype))


def counts_of(kernel: Any, grid: int, block: int, *arguments: Any, shared_bytes: int = 0) -> Counts:
    with counted() as found:
        kernel((grid,), (block,), *arguments, shared_bytes=shared_bytes)
    (counts,) = found
    return counts


def test_a_value_that_is_used_again_is_loaded_once() -> None:
    counts = counts_of(SOURCE.kernel("polynomial"), 8, 64, floats(512), empty((512,), np.float32))
    assert counts == Counts(threads=512, bytes_loaded=4 * 384, bytes_stored=4 * 512)


def test_threads_that_read_the_same_place_each_count_and_their_own_variables_do_not() -> None:
    counts = counts_of(SOURCE.kernel("own_array"), 1, 64, floats(80), empty((64,), np.float32), np.int32(6))
    assert counts == Counts(threads=64, bytes_loaded=4 * 6 * 64, bytes_stored=4 * 64)


def test_a_vector_counts_with_all_its_bytes() -> None:
    counts = counts_of(SOURCE.kernel("copy_vectors"), 1, 32, floats(128), empty((128,), np.float32))
    assert counts == Counts(threads=32, bytes_loaded=512, bytes_stored=512)


def test_shared_memory_of_both_kinds_and_barriers() -> None:
    arguments = floats(64, np.float64), empty((64,), np.float64)
    counts = counts_of(SOURCE.kernel("turn_around"), 1, 64, *arguments, shared_bytes=8 * 64)
    assert counts == Counts(
        threads=64,
        bytes_loaded=512,
        bytes_stored=512,
        shared_bytes_loaded=1024,
        shared_bytes_stored=1024,
        barriers=2,
    )


def test_barriers_count_once_a_block() -> None:
    x, y = floats(64, np.float64), empty((64,), np.float64)
    counts = counts_of(SOURCE.kernel("turn_around"), 3, 64, x, y, shared_bytes=8 * 64)
    assert (counts.threads, counts.barriers) == (192, 6)


def test_atomics_count_by_number_and_not_by_bytes() -> None:
    result = xp.zeros(2, np.int32)
    counts = counts_of(SOURCE.kernel("atomics"), 1, 96, floats(96, np.int32), result)
    assert counts == Counts(threads=96, bytes_loaded=4 * 96, atomics=97)
    np.testing.assert_array_equal(result.get(), [95 * 96 // 2, 7])


def test_asynchronous_copies_count_where_they_read_and_where_they_write() -> None:
    counts = counts_of(SOURCE.kernel("copy_later"), 1, 32, floats(128), empty((128,), np.float32), np.int32(96))
    assert counts == Counts(
        threads=32, bytes_loaded=384, bytes_stored=512, shared_bytes_loaded=512, shared_bytes_stored=512,
        bytes_copied=384,
    )  # fmt: skip


def test_tensor_cores() -> None:
    a, b = floats(256, np.float16), floats(128, np.float16)
    kernel = FEATURES.kernel("multiply_16_bits", TYPE="__half")
    # Each ldmatrix reads four matrices of 8x8; the product is 16x16 by 16x8.
    assert counts_of(kernel, 1, 32, a, b, empty((16, 8), np.float32)) == Counts(
        threads=32, bytes_loaded=2 * 384, bytes_stored=4 * 128,
        shared_bytes_loaded=2 * 512, shared_bytes_stored=2 * 384,
        barriers=1, warp_operations=3, tensor_operations=2 * 16 * 16 * 8,
    )  # fmt: skip


def test_the_results_are_those_of_a_launch_that_is_not_counted() -> None:
    x, y, plain = floats(512), empty((512,), np.float32), empty((512,), np.float32)
    counts_of(SOURCE.kernel("polynomial"), 8, 64, x, y)
    SOURCE.kernel("polynomial")((8,), (64,), x, plain)
    np.testing.assert_array_equal(y.get(), plain.get())


def test_launches_outside_of_the_block_are_not_counted() -> None:
    x, y = floats(512), empty((512,), np.float32)
    with counted() as found:
        SOURCE.kernel("polynomial")((8,), (64,), x, y)
    SOURCE.kernel("polynomial")((8,), (64,), x, y)
    assert len(found) == 1
    assert total(found * 2) == Counts(threads=1024, bytes_loaded=2 * 4 * 384, bytes_stored=2 * 4 * 512)
    assert total([]) == Counts()
