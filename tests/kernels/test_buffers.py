"""The pool of memory, the layout of activations, and kernels that run task by task."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claims.variants import LAYOUTS, lay_out
from minigrad.kernels.arrays import is_channels_last
from minigrad.kernels.cpu import buffers
from minigrad.kernels.cpu.buffers import BlockPool, channels_last, empty, empty_channels_last, pixel_rows
from minigrad.kernels.cpu.jit import get_num_threads, set_num_threads
from minigrad.kernels.cpu.tasks import task_kernel

LARGE = buffers.SMALLEST_POOLED


def address(array: np.ndarray) -> int:
    return array.ctypes.data


@pytest.fixture(autouse=True)
def fresh_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "pool", buffers.BlockPool())


def test_memory_is_used_again_once_the_last_view_is_gone() -> None:
    array = empty((LARGE,), np.float32)
    first = address(array)
    view = array.reshape(-1, 2)[3:].T
    del array
    other = empty((LARGE,), np.float32)
    assert address(other) != first  # the view still needs it
    del view
    assert address(empty((LARGE,), np.float32)) == first


def test_no_vector_lies_across_two_lines_of_the_cache() -> None:
    arrays = [empty((LARGE + 4 * i,), np.uint8) for i in range(20)]
    assert {address(array) % 64 for array in arrays} == {0}


def test_two_living_arrays_never_share_memory() -> None:
    generator = np.random.default_rng(0)
    living: list[tuple[int, np.ndarray]] = []
    for i in range(300):
        array = empty((int(generator.integers(LARGE, 2 * LARGE)),), np.uint8)
        array[:] = i % 256
        living.append((i % 256, array))
        if generator.random() < 0.6:
            living.pop(int(generator.integers(len(living))))
        del array
    assert all((array == value).all() for value, array in living)


def test_a_block_serves_only_requests_that_nearly_fill_it() -> None:
    first = address(empty((LARGE * 10,), np.uint8))
    assert address(empty((LARGE,), np.uint8)) != first
    assert address(empty((LARGE * 9,), np.uint8)) == first


@pytest.mark.parametrize("left", [0, 1], ids=["nothing else", "a smaller block"])
def test_a_block_that_another_thread_takes_first_is_not_handed_out_again(left: int) -> None:
    taken = []

    class Raced(list):
        def pop(self, position: int) -> Any:
            taken.append(super().pop(position))
            return super().pop(position - left)

    pool = BlockPool()
    blocks = [pool.take(size) for size in (100_000, 200_000)[1 - left :]]
    for block in blocks:
        pool.give(block)
    pool._free = Raced(pool._free)
    block = pool.take(200_000)
    assert block.nbytes >= 200_000
    assert block is not taken[0][2]
    pool._free = list(pool._free)
    assert len(pool.free_blocks()) == left


def test_what_is_held_is_counted_and_can_be_returned() -> None:
    arrays = [empty((LARGE,), np.uint8) for _ in range(3)]
    assert buffers.pool.bytes_held == 3 * LARGE
    del arrays[1:]
    gc.collect()
    buffers.pool.clear()
    assert buffers.pool.bytes_held == LARGE


@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (1, 1, 1, 1), (2, 70, 40, 30)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_empty_channels_last_has_the_shape_and_the_layout(shape: tuple[int, int, int, int], dtype: type) -> None:
    array = empty_channels_last(shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert is_channels_last(array)
    assert array.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(
    "shape", [(2, 5, 3, 4), (1, 5, 3, 4), (2, 1, 3, 4), (2, 5, 1, 4), (2, 5, 3, 1), (3, 5, 1, 1)]
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixel_rows_hold_the_channels_of_each_pixel(shape: tuple[int, int, int, int], layout: str) -> None:
    """Of whole tensors and slices without a copy, of other layouts with one."""
    values = np.random.default_rng(0).standard_normal(shape)
    array = lay_out(values, layout)
    same = channels_last(array)
    if layout.startswith("channel"):
        assert same is array
    flat, distance = pixel_rows(same)
    assert np.shares_memory(flat, same)
    assert flat.flags.c_contiguous
    n, c, h, w = shape
    rows = [flat[pixel * distance : pixel * distance + c] for pixel in range(n * h * w)]
    np.testing.assert_array_equal(np.reshape(rows, (n, h, w, c)), values.transpose(0, 2, 3, 1))


def test_other_strides_are_not_taken_for_channels_last() -> None:
    x = empty_channels_last((2, 6, 4, 5), np.float32)
    assert not is_channels_last(x[:, :, :, ::2])  # h and n would need other distances
    assert not is_channels_last(x[:, ::2])
    assert not is_channels_last(x[:, ::-1])
    assert not is_channels_last(x[:, :, ::-1])
    assert not is_channels_last(np.broadcast_to(np.zeros((1, 6, 1, 1)), x.shape))
    assert not is_channels_last(np.zeros((2, 6, 4, 5)))
    assert is_channels_last(x[1:, 2:4])


@task_kernel
def _record(task, tasks, array, pair, integer, wide, single, double, matrix, result):  # type: ignore[no-untyped-def]
    result[task, 0] = task
    result[task, 1] = tasks
    result[task, 2] = array[array.size - 1]
    result[task, 3] = pair[0] - pair[1]
    result[task, 4] = integer
    result[task, 5] = wide >> np.uint64(60)
    result[task, 6] = single
    result[task, 7] = double
    result[task, 8] = matrix[1, 2]


def test_a_task_kernel_gets_its_arguments_as_they_were() -> None:
    result = np.full((5, 9), np.nan)
    _record(
        5,
        np.arange(4, dtype=np.uint8),
        (7, 9),
        -(2**40),
        np.uint64(2**64 - 1),
        np.float32(0.1),
        0.1,
        np.arange(6, dtype=np.float32).reshape(2, 3),
        result,
    )
    expected = [5, 3, -2, -(2**40), 15, np.float32(0.1), 0.1, 5]
    np.testing.assert_array_equal(result, [[task, *expected] for task in range(5)])


def test_a_task_kernel_refuses_an_array_with_gaps() -> None:
    with pytest.raises(ValueError, match="_record: arrays must be C-contiguous"):
        _record(1, np.zeros(4)[::2])


def test_a_task_kernel_is_compiled_once_for_all_processes(tmp_path: Path) -> None:
    """A second process must find everything in the cache: it may write nothing new there."""
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np\n"
        "from minigrad.kernels.cpu.tasks import task_kernel\n"
        "@task_kernel\n"
        "def double(task, tasks, x, y):\n"
        "    y[task] = 2 * x[task]\n"
        "@task_kernel\n"
        "def triple(task, tasks, x, y):\n"
        "    y[task] = 3 * x[task]\n"
        "for dtype in (np.float32, np.float64):\n"
        "    x = np.arange(3, dtype=dtype)\n"
        "    y, z = np.empty_like(x), np.empty_like(x)\n"
        "    double(3, x, y)\n"
        "    triple(3, x, z)\n"
        "    print(y.tolist(), z.tolist())\n"
    )
    files = []
    for _ in range(2):
        finished = subprocess.run(
            [sys.executable, str(program)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
        )
        assert finished.stdout == "[0.0, 2.0, 4.0] [0.0, 3.0, 6.0]\n" * 2, finished.stderr
        files.append({path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.nb?")})
    assert files[0]
    assert files[0] == files[1]


@pytest.mark.parametrize("count", [0, 10**6])
def test_a_number_of_threads_that_cannot_be_is_refused(count: int) -> None:
    before = get_num_threads()
    with pytest.raises(ValueError, match=f"must be an integer between 1 and .*, got {count}"):
        set_num_threads(count)
    assert get_num_threads() == before
