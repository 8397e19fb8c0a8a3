"""Pooling: the definition is PyTorch's, and every variant is the definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from claims.variants import (
    LAYOUTS,
    assert_variant_matches_oracle,
    device_for,
    every_variant,
    lay_out,
    on_device_of,
)
from minigrad.kernels import pool2d
from minigrad.kernels.arrays import on_host
from minigrad.kernels.errors import KernelError, ShapeError
from minigrad.kernels.registry import use_kernels

EXACT = 1e-12  # float64: both sides round the same few operations in another order
# The rules of sizes and divisors have many corners, and a comparison takes a millisecond.
many_examples = settings(max_examples=max(200, settings.default.max_examples))  # type: ignore[union-attr]
DTYPES = st.sampled_from(["float32", "float64"])


@st.composite
def windows(draw: st.DrawFn, dilated: bool = True) -> dict[str, Any]:
    """Window parameters that PyTorch accepts; whether a window fits into the input is another matter."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    return {
        "kernel_size": kernel,
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": tuple(draw(st.integers(0, size // 2)) for size in kernel),
        "dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) if dilated else (1, 1),
        "ceil_mode": draw(st.booleans()),
    }


shapes = st.tuples(st.integers(0, 2), st.integers(1, 20), st.integers(1, 9), st.integers(1, 9))


def problem_or_none(shape: tuple[int, ...], **parameters: Any) -> pool2d.Pool2dProblem | None:
    try:
        return pool2d.Pool2dProblem(shape, **parameters)
    except ShapeError:
        return None


def random(seed: int, shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@many_examples
@given(shape=shapes, window=windows(), seed=st.integers(0, 999))
def test_max_pooling_is_pytorchs(shape: tuple[int, ...], window: dict[str, Any], seed: int) -> None:
    """Values, choice among ties, NaN, sizes, and which problems are refused."""
    generator = np.random.default_rng(seed)
    x = generator.integers(-3, 3, shape).astype(float)  # few values, so that many are equal
    x[generator.random(shape) < 0.05] = np.nan
    t = torch.tensor(x, requires_grad=True)
    problem = problem_or_none(shape, **window, dtype="float64")
    try:
        expected, places = F.max_pool2d(t, **window, return_indices=True)
    except RuntimeError:
        assert problem is None
        return
    assert problem is not None
    with use_kernels(pool2d="reference"):
        y, indices = pool2d.max_forward(problem, x)
        np.testing.assert_array_equal(y, expected.detach())
        if np.isneginf(y).any():
            return  # a dilated window without any element: PyTorch's index then points nowhere
        np.testing.assert_array_equal(absolute(problem, indices), places)
        gy = random(seed, y.shape)
        (gx,) = torch.autograd.grad(expected, t, torch.tensor(gy))
        np.testing.assert_allclose(pool2d.max_input_gradient(problem, gy, indices), gx, atol=EXACT)
        np.testing.assert_array_equal(pool2d.max_gather(problem, x, indices), y)


def absolute(problem: pool2d.Pool2dProblem, indices: np.ndarray) -> np.ndarray:
    """PyTorch's indices, h * W + w, from places inside of the windows."""
    (p, q), width = problem.output_size, problem.shape[3]
    rows = np.arange(p)[:, None] * problem.stride[0] - problem.padding[0]
    columns = np.arange(q) * problem.stride[1] - problem.padding[1]
    rows = rows + indices.astype(int) // problem.kernel_size[1] * problem.dilation[0]
    columns = columns + indices.astype(int) % problem.kernel_size[1] * problem.dilation[1]
    return rows * width + columns


@many_examples
@given(
    shape=shapes,
    window=windows(dilated=False),
    counted=st.booleans(),
    divisor=st.sampled_from([None, 3, -2]),
    seed=st.integers(0, 999),
)
def test_average_pooling_is_pytorchs(
    shape: tuple[int, ...], window: dict[str, Any], counted: bool, divisor: int | None, seed: int
) -> None:
    options = {"count_include_pad": counted, "divisor_override": divisor}
    problem = problem_or_none(shape, **window, **options, dtype="float64")
    t = torch.tensor(random(seed, shape), requires_grad=True)
    del window["dilation"]
    try:
        expected = F.avg_pool2d(t, **window, **options)
    except RuntimeError:
        assert problem is None
        return
    assert problem is not None
    assert_average_is(problem, pool2d.average_forward, pool2d.average_input_gradient, t, expected)


@given(shape=shapes, size=st.tuples(st.integers(1, 9), st.integers(1, 9)), seed=st.integers(0, 999))
def test_adaptive_average_pooling_is_pytorchs(shape: tuple[int, ...], size: tuple[int, int], seed: int) -> None:
    problem = pool2d.AdaptiveAveragePool2dProblem(shape, size, "float64")
    t = torch.tensor(random(seed, shape), requires_grad=True)
    expected = F.adaptive_avg_pool2d(t, size)
    operations = pool2d.adaptive_average_forward, pool2d.adaptive_average_input_gradient
    assert_average_is(problem, *operations, t, expected)


def assert_average_is(
    problem: Any, forward: Any, input_gradient: Any, x: torch.Tensor, expected: torch.Tensor
) -> None:
    gy = random(1, expected.shape)
    (gx,) = torch.autograd.grad(expected, x, torch.tensor(gy))
    with use_kernels(pool2d="reference"):
        np.testing.assert_allclose(forward(problem, x.detach().numpy()), expected.detach(), atol=EXACT)
        np.testing.assert_allclose(input_gradient(problem, gy), gx, atol=EXACT)


@every_variant(pool2d.max_forward, pool2d.max_values, pool2d.max_input_gradient, pool2d.max_gather)
@given(
    shape=shapes,
    window=windows(),
    layout=st.sampled_from(LAYOUTS),
    dtype=DTYPES,
    seed=st.integers(0, 999),
)
def test_every_variant_of_max_pooling(
    operation: Any,
    variant: str,
    shape: tuple[int, ...],
    window: dict[str, Any],
    layout: str,
    dtype: str,
    seed: int,
) -> None:
    problem = problem_or_none(shape, **window, dtype=dtype)
    if problem is None:
        return
    # A few values only, so that ties decide; they have no rounding that could differ in float64.
    x = np.random.default_rng(seed).integers(-3, 3, shape).astype(dtype)
    with use_kernels(pool2d="reference"):
        y, indices = pool2d.max_forward(problem, x)
    if np.isneginf(y).any():  # a dilated window without any element, which the compiled loops of the CPU refuse
        assert variant != "channels_last" or operation.variants[variant].obstacle(problem, "cpu")
        return
    arguments: dict[str, tuple[np.ndarray, ...]] = {
        "max_pool2d_forward": (lay_out(x, layout),),
        "max_pool2d_values": (lay_out(x, layout),),
        "max_pool2d_input_gradient": (lay_out(random(seed, y.shape, dtype), layout), lay_out(indices, layout)),
        "max_pool2d_gather": (lay_out(random(seed, shape, dtype), layout), lay_out(indices, layout)),
    }
    assert_variant_matches_oracle(operation, variant, problem, arguments[operation.name])


@every_variant(pool2d.max_forward, pool2d.max_values)
@given(
    shape=shapes,
    window=windows(),
    layout=st.sampled_from(LAYOUTS),
    dtype=DTYPES,
    seed=st.integers(0, 999),
)
def test_every_variant_of_max_pooling_chooses_the_same_bits(
    operation: Any,
    variant: str,
    shape: tuple[int, ...],
    window: dict[str, Any],
    layout: str,
    dtype: str,
    seed: int,
) -> None:
    """Among equal zeros the first one's sign, among NaN the last one's, with and without the places."""
    problem = problem_or_none(shape, **window, dtype=dtype)
    if problem is None or operation.variants[variant].obstacle(problem, device_for(operation, variant)):
        return
    elements = np.array([-1.0, -0.0, 0.0, -np.inf, np.nan, -np.nan], dtype)
    x = np.random.default_rng(seed).choice(elements, shape, p=[0.3, 0.25, 0.25, 0.1, 0.05, 0.05])
    with use_kernels(pool2d="reference"):
        expected, _ = pool2d.max_forward(problem, x)
    y = values_of(operation, variant, problem, lay_out(x, layout))
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(bits(y), bits(expected))


def bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def values_of(operation: Any, variant: str, problem: pool2d.Pool2dProblem, x: np.ndarray) -> np.ndarray:
    """y of a variant of an operation that gives it alone, or with the places."""
    with use_kernels(**{operation.name: variant}):
        given = operation(problem, *on_device_of(operation, variant, (x,)))
    return np.array(on_host(given if operation is pool2d.max_values else given[0]))


@every_variant(pool2d.average_forward, pool2d.average_input_gradient)
@given(
    shape=shapes,
    window=windows(),
    counted=st.booleans(),
    divisor=st.sampled_from([None, 3]),
    layout=st.sampled_from(LAYOUTS),
    dtype=DTYPES,
)
def test_every_variant_of_average_pooling(
    operation: Any,
    variant: str,
    shape: tuple[int, ...],
    window: dict[str, Any],
    counted: bool,
    divisor: int | None,
    layout: str,
    dtype: str,
) -> None:
    """Dilated windows are among the problems, and refused."""
    problem = problem_or_none(shape, **window, count_include_pad=counted, divisor_override=divisor, dtype=dtype)
    if problem is not None:
        given_shape = problem.output_shape if operation is pool2d.average_input_gradient else shape
        array = lay_out(random(3, given_shape, dtype), layout)
        assert_variant_matches_oracle(operation, variant, problem, (array,))


@every_variant(pool2d.adaptive_average_forward, pool2d.adaptive_average_input_gradient)
@given(
    shape=shapes,
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    layout=st.sampled_from(LAYOUTS),
    dtype=DTYPES,
)
def test_every_variant_of_adaptive_pooling(
    operation: Any, variant: str, shape: tuple[int, ...], size: tuple[int, int], layout: str, dtype: str
) -> None:
    problem = pool2d.AdaptiveAveragePool2dProblem(shape, size, dtype)
    backward = operation is pool2d.adaptive_average_input_gradient
    array = lay_out(random(4, problem.output_shape if backward else shape, dtype), layout)
    assert_variant_matches_oracle(operation, variant, problem, (array,))


@every_variant(pool2d.max_forward)
@pytest.mark.parametrize("kernel", [(3, 3), (2, 2), (4, 5)])
def test_nan_and_minus_infinity_are_values_like_others(
    operation: Any, variant: str, kernel: tuple[int, int]
) -> None:
    generator = np.random.default_rng(0)
    x = generator.choice([-np.inf, np.nan, 0.0, np.inf], (2, 19, 7, 8), p=[0.7, 0.05, 0.2, 0.05])
    problem = pool2d.Pool2dProblem(x.shape, kernel, (2, 1), (1, 1), ceil_mode=True, dtype="float64")
    y, places = F.max_pool2d(torch.tensor(x), kernel, (2, 1), (1, 1), ceil_mode=True, return_indices=True)
    with use_kernels(pool2d=variant):
        arguments = on_device_of(operation, variant, (x,))
        ours, indices = operation(problem, *arguments)
        values = pool2d.max_values(problem, *arguments)
    np.testing.assert_array_equal(ours, y)
    np.testing.assert_array_equal(values, y)
    np.testing.assert_array_equal(absolute(problem, indices), places)


@every_variant(pool2d.max_forward, pool2d.max_values)
def test_a_window_too_large_for_one_byte_has_wider_indices(operation: Any, variant: str) -> None:
    problem = pool2d.Pool2dProblem((1, 3, 20, 21), (17, 18), (1, 1))
    assert problem.index_dtype == "uint16"
    assert_variant_matches_oracle(operation, variant, problem, (random(0, problem.shape, "float32"),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"padding": (2, 0)}, "padding must be at most half of the kernel size, got padding (2, 0)"),
        ({"stride": (0, 1)}, "stride must be two numbers of at least 1, got (0, 1)"),
        ({"kernel_size": (9, 3)}, "a window of (9, 3) with dilation (1, 1) does not fit into an input of (5, 6)"),
        ({"divisor_override": 0}, "divisor_override must not be zero"),
        ({"shape": (2, 3, 5)}, "the input must be (N, C, H, W) with at least one channel and pixel"),
    ],
)
def test_what_does_not_fit_is_said_with_its_values(change: dict[str, Any], message: str) -> None:
    parameters = {"shape": (2, 3, 5, 6), "kernel_size": (3, 3), "stride": (1, 1), **change}
    with pytest.raises(ShapeError) as caught:
        pool2d.Pool2dProblem(**parameters)
    assert message in str(caught.value)


def test_average_pooling_with_dilation_is_refused_by_every_variant() -> None:
    problem = pool2d.Pool2dProblem((1, 1, 5, 5), (2, 2), (1, 1), dilation=(2, 2))
    with pytest.raises(KernelError, match="average pooling has no dilation"):
        pool2d.average_forward(problem, random(0, problem.shape, "float32"))
