"""CUDA variants in float16 and bfloat16: each result is the float64 oracle's, rounded once."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from claims.variants import LAYOUTS, assert_variant_matches_oracle, lay_out, without_compiler
from minigrad.kernels import pool2d
from minigrad.kernels.registry import use_kernels

DTYPES = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
SHAPES = [(2, 16, 9, 7), (1, 5, 6, 8)]  # channels by 16 bytes at a time, and one by one

pytestmark = [
    without_compiler,
    pytest.mark.parametrize("shape", SHAPES),
    pytest.mark.parametrize("dtype", DTYPES),
    pytest.mark.parametrize("layout", LAYOUTS),
]


def random(shape: tuple[int, ...], dtype: str, layout: str) -> Any:
    return lay_out(np.random.default_rng(0).standard_normal(shape).astype(DTYPES[dtype]), layout)


def test_max_pooling(shape: tuple[int, int, int, int], dtype: str, layout: str) -> None:
    problem = pool2d.Pool2dProblem(shape, (3, 3), (2, 2), (1, 1), dtype=dtype)
    x = random(shape, dtype, layout)
    with use_kernels(pool2d="reference"):
        _, indices = pool2d.max_forward(problem, np.array(x, np.float64))
    gy = random(problem.output_shape, dtype, layout)
    assert_variant_matches_oracle(pool2d.max_forward, "rows", problem, (x,))
    assert_variant_matches_oracle(pool2d.max_values, "rows", problem, (x,))
    assert_variant_matches_oracle(pool2d.max_input_gradient, "rows", problem, (gy, indices))
    assert_variant_matches_oracle(pool2d.max_gather, "rows", problem, (x, indices))


def test_average_pooling(shape: tuple[int, int, int, int], dtype: str, layout: str) -> None:
    for problem, forward, gradient in (
        (
            pool2d.Pool2dProblem(shape, (3, 2), (2, 1), (1, 1), count_include_pad=False, dtype=dtype),
            pool2d.average_forward,
            pool2d.average_input_gradient,
        ),
        (
            pool2d.AdaptiveAveragePool2dProblem(shape, (4, 3), dtype),
            pool2d.adaptive_average_forward,
            pool2d.adaptive_average_input_gradient,
        ),
    ):
        assert_variant_matches_oracle(forward, "rows", problem, (random(shape, dtype, layout),))
        gy = random(problem.output_shape, dtype, layout)
        assert_variant_matches_oracle(gradient, "rows", problem, (gy,))
