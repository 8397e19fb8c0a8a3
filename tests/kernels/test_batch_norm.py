"""Batch normalisation: the definition is PyTorch's, every variant is the definition, and sums stay accurate."""

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
    emulated,
    every_variant,
    lay_out,
    on_device_of,
    without_compiler,
)
from minigrad.kernels import batch_norm
from minigrad.kernels.arrays import on_host
from minigrad.kernels.batch_norm import BatchNormProblem, Running
from minigrad.kernels.cuda.emulation import thread_order
from minigrad.kernels.errors import KernelError, MinigradError
from minigrad.kernels.registry import use_kernels

# The gradient subtracts two means from gy; what is left can be a few times smaller than what rounding acts on.
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}

shapes = st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(2, 9), st.integers(2, 9))


def arrays(shape: tuple[int, ...], dtype: str, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    channels = shape[1]
    return {
        name: values.astype(dtype)
        for name, values in {
            "x": generator.standard_normal(shape) * 3 + 2,
            "gy": generator.standard_normal(shape),
            "weight": generator.standard_normal(channels),
            "bias": generator.standard_normal(channels),
            "mean": generator.standard_normal(channels),
            "variance": generator.random(channels) + 0.1,
        }.items()
    }


@given(shape=shapes, relu=st.booleans(), seed=st.integers(0, 999))
def test_training_is_pytorchs(shape: tuple[int, ...], relu: bool, seed: int) -> None:
    a = arrays(shape, "float64", seed)
    problem = BatchNormProblem(shape, 1e-3, relu, "float64")
    inputs = [torch.tensor(a[name], requires_grad=True) for name in ("x", "weight", "bias")]
    y, mean, inverse_std = torch.native_batch_norm(*inputs, None, None, True, 0.1, problem.epsilon)
    y = F.relu(y) if relu else y
    gradients = torch.autograd.grad(y, inputs, torch.tensor(a["gy"]))
    with use_kernels(batch_norm="reference"):
        forward = batch_norm.forward_training(problem, a["x"], a["weight"], a["bias"])
        backward = batch_norm.backward_training(
            problem, a["gy"], a["x"], a["weight"], a["bias"], forward[1], forward[3]
        )
    expected = (y, mean, inputs[0].var((0, 2, 3), correction=0), inverse_std, *gradients)
    for ours, theirs in zip((*forward, *backward), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-9, atol=1e-11)


@given(shape=shapes, relu=st.booleans(), seed=st.integers(0, 999))
def test_evaluation_is_pytorchs(shape: tuple[int, ...], relu: bool, seed: int) -> None:
    a = arrays(shape, "float64", seed)
    problem = BatchNormProblem(shape, 1e-3, relu, "float64")
    names = "x", "mean", "variance", "weight", "bias"
    y = F.batch_norm(*(torch.tensor(a[name]) for name in names), False, 0.1, problem.epsilon)
    with use_kernels(batch_norm="reference"):
        ours = batch_norm.forward_evaluation(problem, a["x"], a["weight"], a["bias"], a["mean"], a["variance"])
    np.testing.assert_allclose(ours, F.relu(y) if relu else y, rtol=1e-12, atol=1e-12)


def arguments(operation: Any, a: dict[str, np.ndarray], layout: str) -> list[np.ndarray]:
    names = {
        "batch_norm_forward_training": "x weight bias",
        "batch_norm_forward_evaluation": "x weight bias mean variance",
        "batch_norm_backward_training": "gy x weight bias mean variance",
    }[operation.name]
    return [lay_out(a[name], layout) if a[name].ndim == 4 else a[name] for name in names.split()]


@every_variant(batch_norm.forward_training, batch_norm.forward_evaluation, batch_norm.backward_training)
@given(
    shape=shapes,
    relu=st.booleans(),
    layout=st.sampled_from(LAYOUTS),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 999),
)
def test_every_variant_is_the_definition(
    operation: Any,
    variant: str,
    shape: tuple[int, ...],
    relu: bool,
    layout: str,
    dtype: str,
    seed: int,
) -> None:
    problem = BatchNormProblem(shape, 1e-3, relu, dtype)
    given_arrays = arguments(operation, arrays(shape, dtype, seed), layout)
    assert_variant_matches_oracle(operation, variant, problem, given_arrays, TOLERANCES[dtype])


@every_variant(batch_norm.forward_training, batch_norm.forward_evaluation, batch_norm.backward_training)
@pytest.mark.parametrize("shape", [(2, 264, 20, 21), (3, 67, 31, 17)])
def test_channels_and_pixels_of_many_blocks(operation: Any, variant: str, shape: tuple[int, ...]) -> None:
    given_arrays = arguments(operation, arrays(shape, "float32", 4), "channels_last")
    problem = BatchNormProblem(shape, 1e-3, True)
    for order in (0, 1, 2):
        with thread_order(order):
            assert_variant_matches_oracle(operation, variant, problem, given_arrays, TOLERANCES["float32"])


@every_variant(batch_norm.forward_training, batch_norm.forward_evaluation, batch_norm.backward_training)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 16, 9, 7), (3, 5, 6, 8)])
def test_activations_of_16_bits_have_statistics_and_parameters_of_32(
    operation: Any, variant: str, shape: tuple[int, ...], layout: str, dtype: str
) -> None:
    """Channels by 16 bytes at a time, and one by one."""
    a = arrays(shape, "float32", 3)
    a |= {name: a[name].astype(np.dtype(dtype)) for name in ("x", "gy")}
    problem = BatchNormProblem(shape, 1e-3, True, dtype)
    given_arrays = arguments(operation, a, layout)
    assert_variant_matches_oracle(operation, variant, problem, given_arrays, wide="float32")


@without_compiler
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_statistics_of_16_bits_are_those_of_the_rounded_values(dtype: str) -> None:
    shape = (4, 16, 30, 31)
    x = (np.random.default_rng(0).standard_normal(shape) + 100).astype(np.dtype(dtype))
    given_arrays = on_device_of(batch_norm.forward_training, "rows", (x, *np.ones((2, 16), np.float32)))
    with use_kernels(batch_norm="rows"):
        _, mean, variance, _ = batch_norm.forward_training(
            BatchNormProblem(shape, 0.0, False, dtype), *given_arrays
        )
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 2, 3)), rtol=2 * np.finfo(np.float32).eps)
    np.testing.assert_allclose(variance, exact.var((0, 2, 3)), rtol=2e-6)  # some roundings of float32


@every_variant(batch_norm.forward_evaluation)
def test_an_empty_batch_is_evaluated_to_an_empty_batch(operation: Any, variant: str) -> None:
    a = arrays((0, 5, 3, 4), "float32", 0)
    assert_variant_matches_oracle(
        operation, variant, BatchNormProblem((0, 5, 3, 4)), arguments(operation, a, "channels_last")
    )


@every_variant(batch_norm.forward_training, batch_norm.backward_training)
def test_an_empty_batch_has_no_statistics(operation: Any, variant: str) -> None:
    problem = BatchNormProblem((0, 5, 3, 4))
    given_arrays = arguments(operation, arrays(problem.shape, "float32", 0), "contiguous")
    with use_kernels(batch_norm=variant), pytest.raises(KernelError, match="empty batch"):
        operation(problem, *on_device_of(operation, variant, given_arrays))


@every_variant(batch_norm.forward_training)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_statistics_survive_a_mean_that_is_large(operation: Any, variant: str, dtype: str) -> None:
    """A mean of 1e5 standard deviations: squares of x would keep no digit of the variance in float32."""
    shape = (4, 6, 30, 31)
    x = (np.random.default_rng(0).standard_normal(shape) + 1e5).astype(dtype)
    given_arrays = on_device_of(operation, variant, (x, np.ones(6, dtype), np.ones(6, dtype)))
    with use_kernels(batch_norm=variant):
        _, mean, variance, inverse_std = operation(BatchNormProblem(shape, 0.0, False, dtype), *given_arrays)
    exact = x.astype(np.longdouble)
    # The mean is rounded to the dtype; the variance is as good as the centred values, which float32 holds
    # exactly here, and the mean they are centred at, whose error enters squared.
    np.testing.assert_allclose(mean, exact.mean((0, 2, 3)).astype(float), rtol=2 * np.finfo(dtype).eps)
    np.testing.assert_allclose(variance, exact.var((0, 2, 3)).astype(float), rtol=2e-6)
    np.testing.assert_allclose(inverse_std, 1 / exact.std((0, 2, 3)).astype(float), rtol=1e-6)


def cut_arrays(shape: tuple[int, ...]) -> list[np.ndarray]:
    a = arrays(shape, "float32", 5)
    return [a["x"], a["weight"], a["bias"], np.ones(shape, np.float32)]


@every_variant(batch_norm.backward_training)
@pytest.mark.parametrize("shape", [(2, 3, 9, 7), (4, 70, 5, 5)])
def test_backward_cuts_exactly_where_forward_did(operation: Any, variant: str, shape: tuple[int, ...]) -> None:
    """The mask is computed again: with gy = 1 the gradient of the bias counts the positive outputs."""
    x, weight, bias, ones = on_device_of(operation, variant, cut_arrays(shape))
    problem = BatchNormProblem(shape, 1e-3, True)
    with use_kernels(batch_norm=variant):
        y, mean, _, inverse_std = batch_norm.forward_training(problem, x, weight, bias)
        # Bias such that many outputs are zero but for rounding: the sign hangs on the last bit.
        scale = weight * inverse_std
        bias = -((x - mean.reshape(-1, 1, 1)) * scale.reshape(-1, 1, 1))[0, :, 0, 0]
        y, mean, _, inverse_std = batch_norm.forward_training(problem, x, weight, bias)
        _, _, gbias = operation(problem, ones, x, weight, bias, mean, inverse_std)
    np.testing.assert_array_equal(gbias, (y > 0).sum((0, 2, 3)))


@every_variant(batch_norm.forward_evaluation)
def test_nan_passes_through_relu(operation: Any, variant: str) -> None:
    a = arrays((1, 20, 4, 4), "float32", 0)
    a["x"][0, 7, 2, 2] = np.nan
    problem = BatchNormProblem((1, 20, 4, 4), relu=True)
    given_arrays = on_device_of(operation, variant, arguments(operation, a, "channels_last"))
    with use_kernels(batch_norm=variant):
        y = operation(problem, *given_arrays)
    assert np.argwhere(np.isnan(y)).tolist() == [[0, 7, 2, 2]]


@every_variant(batch_norm.move_statistics)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("momentum", [0.1, 1.0])
def test_every_variant_moves_statistics_in_place(
    operation: Any, variant: str, momentum: float, dtype: str
) -> None:
    running, batch = (arrays((1, 300, 1, 1), dtype, seed) for seed in (1, 2))
    given_arrays = [*(a[name] for a in (running, batch) for name in ("mean", "variance")), momentum]
    problem = BatchNormProblem((2, 300, 3, 1), dtype=dtype)
    assert_variant_matches_oracle(operation, variant, problem, given_arrays, in_place=True)
    expected = (1 - momentum) * running["variance"] + momentum * batch["variance"] * 6 / 5
    with use_kernels(batch_norm=variant):
        used = on_device_of(operation, variant, given_arrays)
        operation(problem, *used)
    np.testing.assert_allclose(on_host(used[1]), expected, rtol=1e-6)  # a few roundings of float32


@without_compiler
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 300, 3, 2), (2, 7, 5, 1)])
def test_running_statistics_move_in_passing_as_by_themselves(
    shape: tuple[int, int, int, int], dtype: str, known: bool
) -> None:
    """To the same bits, in any order of threads, by a momentum that is a number or lies in memory."""
    problem = BatchNormProblem(shape, dtype=dtype)
    a, wide = arrays(shape, problem.statistics_dtype, 1), problem.statistics_dtype
    x, weight, bias = emulated(a["x"].astype(dtype)), emulated(a["weight"]), emulated(a["bias"])
    moments = (emulated(a["mean"] + 1), emulated(a["variance"] * 2)) if known else None

    def moved(variant: str, momentum: Any, in_passing: bool) -> tuple[np.ndarray, ...]:
        running = Running(emulated(a["mean"]), emulated(a["variance"]), momentum, emulated(np.array(6)))
        with use_kernels(batch_norm_forward_training=variant):
            options = {"running": running} if in_passing else {}
            _, mean, variance, _ = batch_norm.forward_training(
                problem, x, weight, bias, moments=moments, **options
            )
            if not in_passing:
                batch_norm.move(problem, running, mean, variance)
        return on_host(running.mean), on_host(running.variance), on_host(running.batches)

    expected = moved("rows", 0.3, in_passing=False)
    assert expected[0].dtype == wide and not np.array_equal(expected[0], a["mean"]) and expected[2] == 7
    for seed in (0, 1, 2):
        for momentum in (0.3, emulated(np.array(0.3))):
            with thread_order(seed):
                np.testing.assert_equal(moved("rows", momentum, in_passing=True), expected)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("momentum", [0.3, np.array(0.3)])
def test_on_a_cpu_too_running_statistics_move_in_passing(momentum: Any, dtype: str, known: bool) -> None:
    problem = BatchNormProblem((2, 300, 3, 2), dtype=dtype)
    a = arrays(problem.shape, dtype, 1)
    moments = (a["mean"] + 1, a["variance"] * 2) if known else None
    forward = batch_norm.forward_training.variants["channels_last"].function
    passing, apart = (Running(a["mean"].copy(), a["variance"].copy(), momentum, np.array(6)) for _ in range(2))
    *_, mean, variance, _ = forward(problem, a["x"], a["weight"], a["bias"], moments=moments, running=passing)
    batch_norm.move(problem, apart, mean, variance)
    assert passing.batches == apart.batches == 7
    np.testing.assert_array_equal(passing.mean, apart.mean)
    np.testing.assert_array_equal(passing.variance, apart.variance)
    expected = 0.7 * a["mean"].astype(float) + 0.3 * mean.astype(float)
    np.testing.assert_allclose(passing.mean, expected, rtol=1e-7 if dtype == "float32" else 1e-14)  # rounded once


def test_what_does_not_fit_is_said_with_its_values() -> None:
    with pytest.raises(MinigradError, match=r"must be \(N, C, H, W\).*got \(2, 3\)"):
        BatchNormProblem((2, 3))  # type: ignore[arg-type]
    with pytest.raises(MinigradError, match="epsilon must not be negative, got -1"):
        BatchNormProblem((2, 3, 4, 5), epsilon=-1)
