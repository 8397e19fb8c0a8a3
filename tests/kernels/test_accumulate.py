"""Sums of gradients: every variant adds exactly, whatever the order in memory."""

from __future__ import annotations

from typing import Any

import ml_dtypes  # noqa: F401  (NumPy knows bfloat16 by it)
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims.variants import (
    LAYOUTS,
    assert_variant_matches_oracle,
    every_variant,
    lay_out,
    on_device_of,
    without_compiler,
)
from minigrad.kernels import accumulate
from minigrad.kernels.accumulate import AccumulateProblem
from minigrad.kernels.registry import use_kernels

# Small ones, and some that are large enough to be shared out among threads
SHAPES = [(), (0,), (3,), (5, 7), (2, 3, 4, 5), (2, 24, 30, 31), (70000,), (200, 300), (1, 40000, 1, 2)]


@every_variant(accumulate.add, accumulate.add_to)
@given(
    shape=st.sampled_from(SHAPES),
    layouts=st.tuples(st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS)),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 99),
)
def test_every_variant_adds(
    operation: Any, variant: str, shape: tuple[int, ...], layouts: tuple[str, str], dtype: str, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    values = [generator.standard_normal(shape).astype(dtype) for _ in range(2)]
    a, b = (
        lay_out(x, layout if x.ndim == 4 or layout in ("contiguous", "strided") else "contiguous")
        for x, layout in zip(values, layouts, strict=True)
    )
    in_place = operation is accumulate.add_to
    assert_variant_matches_oracle(operation, variant, AccumulateProblem(shape, dtype), (a, b), in_place=in_place)


@every_variant(accumulate.add, accumulate.add_to)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_sum_is_rounded_once(operation: Any, variant: str, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal(shape).astype(np.float32) for _ in range(2))
    expected = a + b
    a, b = on_device_of(operation, variant, (a, b))
    with use_kernels(accumulate=variant):
        result = operation(AccumulateProblem(shape), a, b)
    np.testing.assert_array_equal(a if operation is accumulate.add_to else result, expected)


@without_compiler
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [24, 5])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_of_16_bits_are_added_in_32(dtype: str, channels: int, layout: str) -> None:
    generator = np.random.default_rng(0)
    shape = (2, channels, 6, 7)
    a, b = (lay_out(generator.standard_normal(shape).astype(np.dtype(dtype)), layout) for _ in range(2))
    problem = AccumulateProblem(shape, dtype)
    assert_variant_matches_oracle(accumulate.add, "stream", problem, (a, b))
    assert_variant_matches_oracle(accumulate.add_to, "stream", problem, (a, b), in_place=True)
