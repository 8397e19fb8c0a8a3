"""Local response normalisation: the definition is PyTorch's, and every variant is the definition."""

from __future__ import annotations

from typing import Any

import ml_dtypes  # noqa: F401  (NumPy knows bfloat16 by it)
import numpy as np
import pytest
import torch
import torch.nn.functional as F
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
from minigrad.kernels import local_response_norm
from minigrad.kernels.errors import ShapeError
from minigrad.kernels.local_response_norm import LocalResponseNormProblem
from minigrad.kernels.registry import use_kernels

shapes = st.tuples(st.integers(0, 2), st.integers(1, 20), st.integers(1, 4), st.integers(1, 4))
constants = st.fixed_dictionaries(
    {
        "size": st.integers(1, 9),
        "alpha": st.sampled_from([1e-4, 0.3]),
        "beta": st.sampled_from([0.75, 0.5, 1.3]),
        "k": st.sampled_from([1.0, 2.0]),
    }
)


def random(seed: int, shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@given(shape=shapes, parameters=constants, seed=st.integers(0, 999))
def test_it_is_pytorchs(shape: tuple[int, ...], parameters: dict[str, Any], seed: int) -> None:
    """Odd and even windows, also wider than the channels."""
    x, gy = torch.tensor(random(seed, shape), requires_grad=True), random(seed + 1, shape)
    y = F.local_response_norm(x, **parameters)
    # PyTorch returns an empty input as it is, and then the gradient is gy.
    (gx,) = torch.autograd.grad(y, x, torch.tensor(gy))
    problem = LocalResponseNormProblem(shape, **parameters, dtype="float64")
    with use_kernels(local_response_norm="reference"):
        ours = local_response_norm.forward(problem, x.detach().numpy())
        gradient = local_response_norm.input_gradient(problem, gy, x.detach().numpy())
    # Both sides sum the same window in another order.
    np.testing.assert_allclose(ours, y.detach(), rtol=1e-12)
    np.testing.assert_allclose(gradient, gx, rtol=1e-10, atol=1e-12)


@every_variant(local_response_norm.forward, local_response_norm.input_gradient)
@given(
    shape=shapes,
    parameters=constants,
    layout=st.sampled_from(LAYOUTS),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 999),
)
def test_every_variant_is_the_definition(
    operation: Any,
    variant: str,
    shape: tuple[int, ...],
    parameters: dict[str, Any],
    layout: str,
    dtype: str,
    seed: int,
) -> None:
    problem = LocalResponseNormProblem(shape, **parameters, dtype=dtype)
    count = 2 if operation is local_response_norm.input_gradient else 1
    arrays = [lay_out(random(seed + i, shape, dtype), layout) for i in range(count)]
    assert_variant_matches_oracle(operation, variant, problem, arrays)


@without_compiler
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 64, 7, 5), (1, 1100, 2, 1)])
@pytest.mark.parametrize("operation", [local_response_norm.forward, local_response_norm.input_gradient])
def test_activations_of_16_bits_and_more_channels_than_a_block_has_threads(
    operation: Any, shape: tuple[int, int, int, int], dtype: str
) -> None:
    problem = LocalResponseNormProblem(shape, 5, 0.1, dtype=dtype)
    count = 2 if operation is local_response_norm.input_gradient else 1
    arrays = [random(i, shape).astype(np.dtype(dtype)) for i in range(count)]
    assert_variant_matches_oracle(operation, "pixels", problem, arrays)


@every_variant(local_response_norm.forward)
def test_an_infinite_channel_spoils_only_its_neighbours(operation: Any, variant: str) -> None:
    x = random(0, (1, 20, 2, 2), "float32")
    x[0, 9, 0, 0] = np.inf
    (x,) = on_device_of(operation, variant, (x,))
    with use_kernels(local_response_norm=variant), np.errstate(invalid="ignore"):
        y = operation(LocalResponseNormProblem(x.shape, 5), x)
    assert np.isfinite(np.delete(y, 9, axis=1)).all()
    assert (y[0, 7:12, 0, 0] == 0).tolist() == [True, True, False, True, True]  # x / inf; inf / inf is NaN


def test_what_does_not_fit_is_said_with_its_values() -> None:
    with pytest.raises(ShapeError, match="size must be at least 1, got 0"):
        LocalResponseNormProblem((1, 2, 3, 4), 0)
    with pytest.raises(ShapeError, match=r"at least one channel and pixel, got \(2, 3\)"):
        LocalResponseNormProblem((2, 3), 5)  # type: ignore[arg-type]
