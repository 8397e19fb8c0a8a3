"""Concatenation: NumPy's values, in place where the parts already lie side by side, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims.variants import (
    LAYOUTS,
    assert_variant_matches_oracle,
    device_for,
    every_variant,
    lay_out,
    on_device_of,
)
from minigrad.kernels import concat
from minigrad.kernels.arrays import is_channels_last, on_host
from minigrad.kernels.concat import ConcatProblem
from minigrad.kernels.cpu.buffers import empty_channels_last
from minigrad.kernels.errors import ShapeError
from minigrad.kernels.registry import use_kernels


def random(seed: int, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def problem_of(arrays: tuple[np.ndarray, ...], axis: int = 1) -> ConcatProblem:
    return ConcatProblem(tuple(array.shape for array in arrays), axis, str(arrays[0].dtype))


@every_variant(concat.forward)
@given(
    shape=st.tuples(st.integers(0, 3), st.integers(1, 6), st.integers(1, 6)),
    channels=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    axis=st.integers(0, 3),
    layouts=st.lists(st.sampled_from(LAYOUTS), min_size=5, max_size=5),
    dtype=st.sampled_from(["float32", "float64", "int64"]),
)
def test_every_variant_is_the_definition(
    operation: Any,
    variant: str,
    shape: tuple[int, ...],
    channels: list[int],
    axis: int,
    layouts: list[str],
    dtype: str,
) -> None:
    """Along any axis, of any layouts mixed; integers are refused where they cannot be joined."""
    arrays = tuple(
        lay_out((10 * random(i, (*shape[:axis], length, *shape[axis:]))).astype(dtype), layout)
        for i, (length, layout) in enumerate(zip(channels, layouts, strict=False))
    )
    problem = problem_of(arrays, axis)
    if dtype == "int64":
        if operation.variants[variant].obstacle(problem, device_for(operation, variant)) is None:
            given_arrays = on_device_of(operation, variant, arrays)
            with use_kernels(concat=variant):
                joined = on_host(operation(problem, given_arrays))
            np.testing.assert_array_equal(joined, np.concatenate(arrays, axis))
        return
    assert_variant_matches_oracle(operation, variant, problem, (arrays,), tolerance=0)


def slices(total: int, *ends: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """A channels-last buffer of `total` channels, and its slices up to each of `ends`."""
    buffer = empty_channels_last((2, total, 20, 30), np.float32)
    buffer[...] = random(0, buffer.shape)
    return buffer, tuple(buffer[:, a:b] for a, b in zip((0, *ends), ends, strict=False))


@pytest.mark.parametrize("ends", [(10, 24, 32), (32,), (10, 24)])
def test_adjacent_slices_of_one_buffer_are_joined_without_a_copy(ends: tuple[int, ...]) -> None:
    buffer, parts = slices(32, *ends)
    joined = concat.forward(problem_of(parts), parts)
    np.testing.assert_array_equal(joined, buffer[:, : ends[-1]])
    assert joined.ctypes.data == buffer.ctypes.data
    assert joined.strides == buffer.strides


def test_the_view_keeps_the_buffer_alive() -> None:
    buffer, parts = slices(32, 10, 32)
    expected = buffer.copy()
    joined = concat.forward(problem_of(parts), parts)
    del buffer, parts
    empty_channels_last(expected.shape, np.float32)[...] = 0  # would take the buffer's memory, were it free
    np.testing.assert_array_equal(joined, expected)


def swapped(parts: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return parts[1], parts[0], parts[2]


def with_a_gap(parts: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return parts[0], parts[2]


def with_a_copy(parts: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return parts[0], parts[1].copy(order="K"), parts[2]


def repeated(parts: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return parts[0], parts[0], parts[1]


@pytest.mark.parametrize("change", [swapped, with_a_gap, with_a_copy, repeated])
def test_what_does_not_lie_side_by_side_is_copied(change: Any) -> None:
    buffer, parts = slices(32, 10, 24, 32)
    parts = change(parts)
    joined = concat.forward(problem_of(parts), parts)
    np.testing.assert_array_equal(joined, np.concatenate(parts, 1))
    assert not np.shares_memory(joined, buffer)
    assert is_channels_last(joined)


@pytest.mark.parametrize(
    ("shapes", "axis", "message"),
    [
        ((), 0, "at least one array is needed"),
        (((2, 3),), 2, "axis 2 is out of range for arrays of shape (2, 3)"),
        (((2, 3), (3, 3)), 1, "the same shape except along axis 1, got (2, 3) and (3, 3)"),
        (((2, 3), (2, 3, 1)), 1, "the same shape except along axis 1, got (2, 3) and (2, 3, 1)"),
    ],
)
def test_what_does_not_fit_is_said_with_its_values(
    shapes: tuple[tuple[int, ...], ...], axis: int, message: str
) -> None:
    with pytest.raises(ShapeError) as caught:
        ConcatProblem(shapes, axis)
    assert message in str(caught.value)
