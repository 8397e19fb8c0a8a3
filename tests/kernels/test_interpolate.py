"""Bilinear interpolation: the definition is PyTorch's, and every variant is the definition."""

from __future__ import annotations

from typing import Any

import ml_dtypes  # noqa: F401  (NumPy knows bfloat16 by it)
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from claims.variants import LAYOUTS, assert_variant_matches_oracle, every_variant, lay_out, without_compiler
from minigrad.kernels import interpolate
from minigrad.kernels.errors import ShapeError
from minigrad.kernels.interpolate import InterpolateProblem
from minigrad.kernels.registry import use_kernels

shapes = st.tuples(st.integers(0, 2), st.integers(1, 20), st.integers(1, 7), st.integers(1, 7))
sizes = st.tuples(st.integers(1, 15), st.integers(1, 15))


def problem_of(
    shape: tuple[int, ...], size: tuple[int, int], align_corners: bool, dtype: str
) -> InterpolateProblem:
    ratios = shape[2] / size[0], shape[3] / size[1]
    return InterpolateProblem(shape, size, ratios, align_corners, dtype)  # type: ignore[arg-type]


def random(seed: int, shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.dtype(dtype))


@given(shape=shapes, size=sizes, align_corners=st.booleans(), seed=st.integers(0, 999))
def test_it_is_pytorchs(shape: tuple[int, ...], size: tuple[int, int], align_corners: bool, seed: int) -> None:
    problem = problem_of(shape, size, align_corners, "float64")
    x, gy = torch.tensor(random(seed, shape), requires_grad=True), random(seed + 1, problem.output_shape)
    y = F.interpolate(x, size, mode="bilinear", align_corners=align_corners)
    (gx,) = torch.autograd.grad(y, x, torch.tensor(gy))
    with use_kernels(interpolate="reference"):
        ours = interpolate.forward(problem, x.detach().numpy())
        gradient = interpolate.input_gradient(problem, gy)
    # Both sides round the place, and add the same few products in another order.
    np.testing.assert_allclose(ours, y.detach(), atol=1e-12)
    np.testing.assert_allclose(gradient, gx, atol=1e-12)


@every_variant(interpolate.forward, interpolate.input_gradient)
@given(
    shape=shapes,
    size=sizes,
    align_corners=st.booleans(),
    layout=st.sampled_from(LAYOUTS),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_every_variant_is_the_definition(
    operation: Any,
    variant: str,
    shape: tuple[int, ...],
    size: tuple[int, int],
    align_corners: bool,
    layout: str,
    dtype: str,
) -> None:
    problem = problem_of(shape, size, align_corners, dtype)
    given_shape = shape if operation is interpolate.forward else problem.output_shape
    assert_variant_matches_oracle(operation, variant, problem, (lay_out(random(0, given_shape, dtype), layout),))


@without_compiler
@pytest.mark.parametrize("operation", [interpolate.forward, interpolate.input_gradient])
@pytest.mark.parametrize("channels", [16, 5])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_images_of_16_bits_are_computed_with_in_32(operation: Any, channels: int, dtype: str) -> None:
    problem = problem_of((2, channels, 6, 5), (11, 4), False, dtype)
    given_shape = problem.shape if operation is interpolate.forward else problem.output_shape
    assert_variant_matches_oracle(operation, "rows", problem, (random(0, given_shape, dtype),))


def test_what_does_not_fit_is_said_with_its_values() -> None:
    with pytest.raises(ShapeError, match=r"at least one channel and pixel, before and after, got .*\(0, 3\)"):
        InterpolateProblem((1, 2, 3, 4), (0, 3), (1.0, 1.0))
