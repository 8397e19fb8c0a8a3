"""What the emulator does is what a GPU does: numbers, warps, barriers, tensor cores, asynchronous copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from claims.variants import without_compiler
from minigrad.kernels.cuda import emulated_numpy as xp
from minigrad.kernels.cuda.emulated_array import empty
from minigrad.kernels.cuda.emulation import thread_order
from minigrad.kernels.cuda.launch import CudaSource, struct
from minigrad.kernels.errors import KernelError

SOURCE = CudaSource(str(Path(__file__).parent / "features.cu"), TYPE=("__half", "__nv_bfloat16"))
DTYPES = {"__half": np.dtype(np.float16), "__nv_bfloat16": np.dtype(ml_dtypes.bfloat16)}

pytestmark = without_compiler
sixteen_bits = pytest.mark.parametrize("name", DTYPES)
orders = pytest.mark.parametrize("order", [0, 1, 2, 7])


def launch(
    kernel: str, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any, name: str = "__half"
) -> None:
    SOURCE.kernel(kernel, TYPE=name)(grid, block, *arguments)


@sixteen_bits
def test_every_number_of_16_bits_is_widened_exactly(name: str) -> None:
    x = np.arange(1 << 16, dtype=np.uint16).view(DTYPES[name])
    y = empty((1 << 16,), np.float32)
    poison = x.view(np.uint16) == 0xFFFF  # widened, it is still poison, which the emulator would complain about
    launch("widen_all", (256,), (256,), xp.array(np.where(poison, DTYPES[name].type(0), x)), y, name=name)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(y.get()[~poison], x[~poison].astype(np.float32))


@sixteen_bits
def test_numbers_are_narrowed_to_the_nearest_and_ties_to_even(name: str) -> None:
    """Every 16-bit number, the midpoint to the next one, and the floats around both."""
    numbers = np.arange(1 << 16, dtype=np.uint16).view(DTYPES[name]).astype(np.float32)
    numbers = np.sort(numbers[np.isfinite(numbers)])
    middles = ((numbers[1:].astype(np.float64) + numbers[:-1]) / 2).astype(np.float32)
    near = [np.nextafter(v, np.float32(d)) for v in (numbers, middles) for d in (-np.inf, np.inf)]
    x = np.concatenate([numbers, middles, *near, np.float32([np.inf, -np.inf, 3e38, 1e-45])])
    y = empty((x.size,), DTYPES[name])
    launch("narrow_all", (-(-x.size // 256),), (256,), xp.array(x), y, np.int32(x.size), name=name)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(y.get().view(np.uint16), x.astype(DTYPES[name]).view(np.uint16))


@orders
@sixteen_bits
def test_the_tensor_core_multiplies_matrices_of_16_bits(name: str, order: int) -> None:
    generator = np.random.default_rng(0)
    # Small integers: every sum is exact, and a layout with an element out of place cannot be right.
    a, b = (generator.integers(-8, 8, shape).astype(DTYPES[name]) for shape in ((16, 16), (16, 8)))
    c = empty((16, 8), np.float32)
    with thread_order(order):
        launch("multiply_16_bits", (1,), (32,), xp.array(a), xp.array(b), c, name=name)
    np.testing.assert_array_equal(c, a.astype(np.float32) @ b.astype(np.float32) + 1)


def test_the_tensor_core_multiplies_tf32() -> None:
    generator = np.random.default_rng(1)
    a, b = (generator.standard_normal(shape).astype(np.float32) for shape in ((16, 8), (8, 8)))
    c = empty((16, 8), np.float32)
    launch("multiply_tf32", (1,), (32,), xp.array(a), xp.array(b), c)
    right = a.astype(np.float64) @ b
    error = np.linalg.norm(c - right) / np.linalg.norm(right)
    assert 1e-5 < error < 2**-10  # each factor is rounded to 11 bits, and a float32 product would be too good


@orders
def test_shuffles_and_votes(order: int) -> None:
    y = empty((64, 8), np.int32)
    with thread_order(order):
        launch("shuffle_and_vote", (1,), (64,), y)
    i = np.arange(64)
    lane = i % 32
    ballots = [sum(1 << k for k in range(32) if (32 * warp + k) % 3 == 0) for warp in (0, 1)]
    expected = [
        i // 8 * 8 + 3,
        np.where(lane + 5 < 32, i + 5, i),
        np.where(lane % 16 >= 5, i - 5, i),
        i ^ 7,
        np.array(ballots, np.uint32).view(np.int32)[i // 32],
        i // 32 == 1,
        i // 32 == 0,
        np.full(64, 13),
    ]
    np.testing.assert_array_equal(y, np.stack(expected, 1))


@orders
def test_parts_of_a_warp_meet_on_their_own(order: int) -> None:
    y = empty((32,), np.int32)
    with thread_order(order):
        launch("half_warps", (1,), (32,), y)
    values = np.arange(32)
    for step in (1, 2, 4):
        values = values + values[np.arange(32) ^ step]
    expected = np.where(np.arange(32) < 16, np.arange(32) + (np.arange(32) ^ 1), values)
    np.testing.assert_array_equal(y, expected)


@orders
def test_who_comes_last_to_a_barrier_may_go_on_first(order: int) -> None:
    y = empty((64, 64), np.int32)
    with thread_order(order):
        launch("take_turns", (64,), (64,), y)
    values = np.arange(64)
    for turn in range(8):
        for step in range(turn % 3 + 1):
            values = values[np.arange(64) ^ (1 << step)]
        values = values[::-1] + 1
    np.testing.assert_array_equal(y, np.tile(values, (64, 1)))


def test_atomics_count_across_blocks_that_run_at_the_same_time() -> None:
    counter, total, largest = xp.zeros(1, np.int32), xp.zeros(1, np.float32), xp.zeros(1, np.int32)
    launch("count", (300,), (64,), counter, total, largest)
    assert (counter[0], total[0], largest[0]) == (19200, 9600.0, 19199)


@orders
def test_a_pipeline_of_asynchronous_copies(order: int) -> None:
    x = xp.array(np.random.default_rng(0).standard_normal((9, 128)).astype(np.float32))
    y = empty((9, 128), np.float32)
    with thread_order(order):
        launch("pipeline", (1,), (32,), x, y, np.int32(9), np.int32(7))
    expected = x.get()[:, ::-1].copy()
    expected[7:] = 0  # not valid: zeros are written and nothing is read
    np.testing.assert_array_equal(y, expected)


def test_values_structs_and_null_pointers_arrive() -> None:
    y = empty((4,), np.float64)
    launch("take_values", (1,), (1,), struct(1, 2, 3), np.float64(0.25), np.int64(2**40), None, y)
    np.testing.assert_array_equal(y, [123, 0.25, 2**40, 1])


def test_blocks_and_threads_of_three_axes() -> None:
    y = empty((24, 24), np.int32)
    launch("indices", (2, 3, 4), (4, 3, 2), y)
    np.testing.assert_array_equal(y, np.arange(24)[:, None] * 1000 + np.arange(24))


def test_no_block_is_no_launch() -> None:
    launch("indices", (0, 3), (4,), xp.zeros(1, np.int32))


NUMBER = np.int32(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((xp.zeros(4, np.float32),), "kernel narrow_all takes 3 arguments, got 1"),
        ((NUMBER, xp.zeros(4, np.float16), NUMBER), "argument 0: the kernel takes an array, got int32"),
        ((NUMBER, NUMBER, NUMBER), "all on 'cuda' or all on 'emulated', got none"),
        (
            (xp.zeros(4, np.float32), np.zeros(4, np.float16), NUMBER),
            "got emulated (argument 0), cpu (argument 1)",
        ),
        ((xp.zeros(4, np.float32), xp.zeros(4, "S3"), NUMBER), "argument 1: the kernel takes elements of 2 bytes"),
        (
            (xp.zeros(4, np.float32), xp.zeros(4, np.float16), 4),
            "argument 2: 4 has no size of its own; give a NumPy scalar",
        ),
        ((xp.zeros(4, np.float32), xp.zeros(4, np.float16), np.int64(4)), "4 bytes, int64 has 8"),
    ],
)
def test_arguments_that_the_kernel_does_not_take_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(KernelError) as caught:
        launch("narrow_all", (1,), (4,), *arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SOURCE.kernel("nothing", TYPE="__half"), "has no kernel 'nothing'; it has: widen_all"),
        (lambda: SOURCE.kernel("count", TYPE="int"), "is not made to be compiled with TYPE=int; it knows TYPE in"),
        (lambda: launch("count", (1,), (1025,)), "a block has 1 to 1024 threads, got (1025,)"),
        (lambda: launch("count", (1, 70000), (1,)), "a grid has up to"),
        (lambda: CudaSource("pool2d/nowhere.cu"), "there is no kernel file pool2d/nowhere.cu"),
    ],
)
def test_a_launch_that_cannot_be_says_why(call: Any, message: str) -> None:
    with pytest.raises(KernelError) as caught:
        call()
    assert message in str(caught.value)


def test_an_error_of_the_compiler_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.cu"
    path.write_text('extern "C" __global__ void broken(int* y) {\n    y[0] = nowhere;\n}\n')
    with pytest.raises(KernelError, match=r"broken\.cu:2:\d+: error: .nowhere. was not declared"):
        CudaSource(str(path)).kernel("broken")((1,), (1,), xp.zeros(1, np.int32))
