"""Many arrays cast at once are NumPy's casts of each, whatever their sizes and order in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes  # noqa: F401  (NumPy knows bfloat16 by it)
import numpy as np
import pytest

from claims.variants import emulated, on_gpu, without_compiler, without_gpu
from minigrad.kernels import concat
from minigrad.kernels.arrays import on_host
from minigrad.kernels.concat import ConcatProblem
from minigrad.kernels.cuda.emulation import thread_order
from minigrad.kernels.cuda.launch import launch_listeners
from minigrad.kernels.optimizer_steps import casts

DTYPES = [
    *(("float32", narrow) for narrow in ("bfloat16", "float16")),
    *((narrow, "float32") for narrow in ("bfloat16", "float16")),
    ("float32", "float64"),
]
SHAPES = [(3, 5, 1, 1), (), (14,), (40_000,), (0, 2), (16, 8, 3, 3), (4, 5, 1, 1)]
DEVICES = {"cpu": np.asarray, "emulated": emulated, "gpu": on_gpu}
ON_EACH = pytest.mark.parametrize(
    "place",
    [
        "cpu",
        pytest.param("emulated", marks=without_compiler),
        pytest.param("gpu", marks=[pytest.mark.gpu, without_gpu]),
    ],
)


def numbers(dtype: str) -> list[np.ndarray]:
    """With a NaN, infinities, numbers that overflow in float16, and ties of rounding; one lies transposed."""
    generator = np.random.default_rng(0)
    special = np.array([np.nan, np.inf, -np.inf, 1e6, -0.0, 1 + 2**-9, 1 + 3 * 2**-9, 1e-9])
    with np.errstate(over="ignore"):
        arrays = [(10 * generator.standard_normal(shape)).astype(dtype) for shape in SHAPES]
        arrays[2], arrays[3][:8] = arrays[2][::2], special.astype(dtype)
    return [*arrays, arrays[5].transpose(1, 0, 2, 3)]


@ON_EACH
@pytest.mark.parametrize("cast", [casts.each, casts.side_by_side])
@pytest.mark.parametrize(("source", "target"), DTYPES)
def test_each_array_is_cast_as_numpy_does(
    cast: Callable[..., Sequence[Any]], source: str, target: str, place: str
) -> None:
    arrays = numbers(source)
    with np.errstate(over="ignore"):
        expected = [array.astype(target) for array in arrays]
    for seed in (0, 1, 2):
        with thread_order(seed), np.errstate(over="ignore"):
            found = cast([DEVICES[place](array) for array in arrays], np.dtype(target))
        for ours, numpys in zip(found, expected, strict=True):
            assert ours.dtype == target
            np.testing.assert_array_equal(on_host(ours).astype(np.float64), numpys.astype(np.float64))


@without_compiler
def test_filters_lie_as_convolutions_read_them() -> None:
    given = np.zeros((16, 8, 3, 3), np.float32)
    (filters,) = casts.side_by_side([emulated(given)], np.dtype("float16"))
    assert filters.shape == (16, 8, 3, 3) and filters.transpose(0, 2, 3, 1).flags.c_contiguous


@without_compiler
def test_all_arrays_are_one_launch() -> None:
    launched: list[str] = []

    def note(kernel: Any, *sizes: Any) -> None:
        launched.append(kernel.name)

    launch_listeners.append(note)
    try:
        casts.each([emulated(array) for array in numbers("float32")], np.dtype("float16"))
    finally:
        launch_listeners.remove(note)
    assert launched == ["cast"]


@without_compiler
def test_what_is_to_be_joined_lies_so_already() -> None:
    """Filters that read the same number of channels, with others between them."""
    shapes = [(16, 8, 1, 1), (5,), (8, 16, 3, 3), (4, 8, 1, 1)]
    arrays = [np.random.default_rng(0).standard_normal(shape).astype(np.float32) for shape in shapes]
    copies = casts.side_by_side([emulated(array) for array in arrays], np.dtype("bfloat16"))
    problem = ConcatProblem((shapes[0], shapes[3]), 0, "bfloat16")
    joined = concat.forward(problem, (copies[0], copies[3]))
    assert np.may_share_memory(joined, copies[0]) and np.may_share_memory(joined, copies[3])
    np.testing.assert_array_equal(joined, np.concatenate([arrays[0], arrays[3]]).astype("bfloat16"))
