"""Optimiser steps: the definition is torch.optim, and every variant is the definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import ml_dtypes  # noqa: F401  (NumPy knows bfloat16 by it)
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from claims.variants import assert_variant_matches_oracle, every_variant, lay_out, on_device_of, without_compiler
from minigrad.kernels import optimizer_steps
from minigrad.kernels.errors import KernelError, MinigradError
from minigrad.kernels.optimizer_steps import (
    AdamProblem,
    AverageProblem,
    ControlProblem,
    RmspropProblem,
    SgdProblem,
    SquaredNormProblem,
    cuda,
)
from minigrad.kernels.registry import use_kernels

common = {"weight_decay": st.sampled_from([0.0, 0.1]), "maximize": st.booleans()}
sgds = st.fixed_dictionaries(
    {
        "momentum": st.sampled_from([0.0, 0.9]),
        "dampening": st.sampled_from([0.0, 0.3]),
        "nesterov": st.booleans(),
        **common,
    }
).map(lambda p: p if p["momentum"] and not p["dampening"] else {**p, "nesterov": False})
adams = st.fixed_dictionaries(
    {
        "betas": st.sampled_from([(0.9, 0.999), (0.5, 0.0)]),
        "epsilon": st.sampled_from([1e-8, 0.1]),
        "decoupled": st.booleans(),
        **common,
    }
)
rmsprops = st.fixed_dictionaries(
    {
        "alpha": st.sampled_from([0.99, 0.5]),
        "epsilon": st.sampled_from([1e-8, 0.1]),
        "momentum": st.sampled_from([0.0, 0.9]),
        "centered": st.booleans(),
        **common,
    }
)
SHAPES = [(3, 4), (5,), (2, 3, 1, 2), ()]
LARGE = 40_000  # more than two chunks of the compiled steps
STEPS: dict[str, tuple[Any, int, tuple[Any, ...]]] = {  # problem, arrays a parameter, what follows the arrays
    "sgd_step": (SgdProblem(momentum=0.9), 3, (0.1, [1] * 5)),
    "adam_step": (AdamProblem(), 4, (0.1, [1] * 5)),
    "rmsprop_step": (RmspropProblem(momentum=0.9, centered=True), 5, (0.1,)),
}


def random(seed: int, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [np.asarray(generator.standard_normal(shape)) for shape in shapes]


def assert_follows(make: Callable[..., torch.optim.Optimizer], step: Callable[..., None], seed: int) -> None:
    """Four steps of `torch.optim` and of ours from the same start with the same gradients, learning rates too."""
    parameters = random(seed, SHAPES)
    theirs = [torch.tensor(p, requires_grad=True) for p in parameters]
    optimizer = make(theirs, lr=0.1)
    state = [[np.zeros_like(p) for p in parameters] for _ in range(3)]
    for count, learning_rate in enumerate((0.1, 0.2, 0.05, 0.1), 1):
        gradients = random(seed + count, SHAPES)
        optimizer.param_groups[0]["lr"] = learning_rate
        for tensor, gradient in zip(theirs, gradients, strict=True):
            tensor.grad = torch.tensor(gradient)
        optimizer.step()
        with use_kernels(optimizer_steps="reference"):
            step(parameters, gradients, state, learning_rate, [count] * len(parameters))
    for ours, tensor in zip(parameters, theirs, strict=True):
        # Four steps of a few operations each; a centred variance near zero magnifies their rounding.
        np.testing.assert_allclose(ours, tensor.detach(), rtol=1e-9, atol=1e-11)


@given(parameters=sgds, seed=st.integers(0, 999))
def test_sgd_is_pytorchs(parameters: dict[str, Any], seed: int) -> None:
    problem = SgdProblem(**parameters, dtype="float64")
    assert_follows(
        lambda tensors, lr: torch.optim.SGD(tensors, lr, **parameters),
        lambda p, g, state, lr, steps: optimizer_steps.sgd(
            problem, p, g, state[0] if problem.momentum else [], lr, steps
        ),
        seed,
    )


@given(parameters=adams, seed=st.integers(0, 999))
def test_adam_and_adamw_are_pytorchs(parameters: dict[str, Any], seed: int) -> None:
    problem = AdamProblem(**parameters, dtype="float64")
    kind = torch.optim.AdamW if problem.decoupled else torch.optim.Adam
    options = {name: parameters[name] for name in ("betas", "weight_decay", "maximize")}
    assert_follows(
        lambda tensors, lr: kind(tensors, lr, eps=problem.epsilon, **options),
        lambda p, g, state, lr, steps: optimizer_steps.adam(problem, p, g, state[0], state[1], lr, steps),
        seed,
    )


@given(parameters=rmsprops, seed=st.integers(0, 999))
def test_rmsprop_is_pytorchs(parameters: dict[str, Any], seed: int) -> None:
    problem = RmspropProblem(**parameters, dtype="float64")
    options = {name: value for name, value in parameters.items() if name != "epsilon"}
    assert_follows(
        lambda tensors, lr: torch.optim.RMSprop(tensors, lr, eps=problem.epsilon, **options),
        lambda p, g, state, lr, steps: optimizer_steps.rmsprop(
            problem, p, g, state[0], *used_rmsprop_state(problem, state), lr
        ),
        seed,
    )


def used_rmsprop_state(problem: RmspropProblem, state: list[list[np.ndarray]]) -> tuple[Any, Any]:
    return state[1] if problem.momentum else [], state[2] if problem.centered else []


def lists(seed: int, count: int, dtype: str, layout: str) -> list[list[np.ndarray]]:
    """Parameters, gradients and state: first values above 3, then values in [0, 1].

    So averages of squares are not negative, and a variance v - a**2 is not either.
    """
    changes = [lambda a: a, lambda a: a, lambda a: np.abs(a) + 3, *[lambda a: np.minimum(np.abs(a), 1)] * 2]
    drawn = [random(seed + i, [*SHAPES, (LARGE,)]) for i in range(count)]
    return [
        [lay_out(np.asarray(change(array), dtype), layout) for array in arrays]
        for change, arrays in zip(changes, drawn, strict=False)
    ]


layouts = st.sampled_from(["contiguous", "strided"])
dtypes = st.sampled_from(["float32", "float64"])


@every_variant(optimizer_steps.sgd)
@given(parameters=sgds, layout=layouts, dtype=dtypes, seed=st.integers(0, 999))
def test_every_variant_of_sgd(
    operation: Any, variant: str, parameters: dict[str, Any], layout: str, dtype: str, seed: int
) -> None:
    """Parameters at their first step and at later ones, in one call."""
    problem = SgdProblem(**parameters, dtype=dtype)
    p, g, buffers = lists(seed, 3, dtype, layout)
    arguments = (p, g, buffers if problem.momentum else [], 0.1, [1, 2, 3, 1, 2])
    assert_variant_matches_oracle(operation, variant, problem, arguments, in_place=True)


@every_variant(optimizer_steps.adam)
@given(parameters=adams, layout=layouts, dtype=dtypes, seed=st.integers(0, 999))
def test_every_variant_of_adam(
    operation: Any, variant: str, parameters: dict[str, Any], layout: str, dtype: str, seed: int
) -> None:
    arguments = (*lists(seed, 4, dtype, layout), 0.1, [1, 2, 3, 1, 2000])
    assert_variant_matches_oracle(
        operation, variant, AdamProblem(**parameters, dtype=dtype), arguments, in_place=True
    )


@every_variant(optimizer_steps.rmsprop)
@given(parameters=rmsprops, layout=layouts, dtype=dtypes, seed=st.integers(0, 999))
def test_every_variant_of_rmsprop(
    operation: Any, variant: str, parameters: dict[str, Any], layout: str, dtype: str, seed: int
) -> None:
    problem = RmspropProblem(**parameters, dtype=dtype)
    p, g, squares, *others = lists(seed, 5, dtype, layout)
    used = used_rmsprop_state(problem, [[], *others])
    assert_variant_matches_oracle(operation, variant, problem, (p, g, squares, *used, 0.1), in_place=True)


@without_compiler
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("operation", [optimizer_steps.sgd, optimizer_steps.adam, optimizer_steps.rmsprop])
def test_parameters_of_16_bits_are_computed_with_in_32(operation: Any, dtype: str) -> None:
    """Each array is rounded once."""
    problem, count, last = STEPS[operation.name]
    drawn = lists(0, count, "float32", "contiguous")
    arrays = [[array.astype(np.dtype(dtype)) for array in group] for group in drawn]
    problem = replace(problem, dtype=dtype)
    assert_variant_matches_oracle(operation, "multi_tensor", problem, (*arrays, *last), in_place=True)


@every_variant(optimizer_steps.squared_norm)
@pytest.mark.parametrize("layout", ["contiguous", "strided"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_variant_of_the_squared_norm(operation: Any, variant: str, layout: str, dtype: str) -> None:
    (gradients,) = lists(0, 1, dtype, layout)
    # Squares are exact in float64 for float32, and so is their sum but for its own rounding.
    assert_variant_matches_oracle(operation, variant, SquaredNormProblem(dtype), (gradients,), 1e-13)


@every_variant(optimizer_steps.squared_norm)
def test_the_squared_norm_does_not_overflow_in_float32(operation: Any, variant: str) -> None:
    gradients = on_device_of(operation, variant, [np.full(3, 1e30, np.float32)])
    with use_kernels(optimizer_steps=variant):
        norm = operation(SquaredNormProblem(), gradients)
    assert norm.dtype == np.float64
    assert float(norm) == pytest.approx(3e60, rel=1e-6)  # 1e30 rounded to float32


every_step = every_variant(optimizer_steps.sgd, optimizer_steps.adam, optimizer_steps.rmsprop)


def numbers(operation: Any, variant: str, *values: Any) -> Any:
    """`values`, floats and integers, as arrays without axes where the variant runs."""
    return on_device_of(operation, variant, [np.array(value) for value in values])


@every_step
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_whose_factor_is_not_finite_changes_nothing(operation: Any, variant: str, bad: float) -> None:
    problem, count, last = STEPS[operation.name]
    arrays = on_device_of(operation, variant, lists(0, count, "float32", "contiguous"))
    before = [[np.array(array) for array in group] for group in arrays]
    left_out, taken = numbers(operation, variant, bad, 1.0)
    with use_kernels(optimizer_steps=variant):
        operation(problem, *arrays, *last, left_out)
        np.testing.assert_equal([[np.array(array) for array in group] for group in arrays], before)
        operation(problem, *arrays, *last, taken)
    assert not np.array_equal(arrays[0][-1], before[0][-1])


@every_variant(optimizer_steps.sgd, optimizer_steps.adam, optimizer_steps.rmsprop)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_variant_multiplies_gradients_by_the_factor(operation: Any, variant: str, dtype: str) -> None:
    problem, count, last = STEPS[operation.name]
    arrays = lists(0, count, dtype, "contiguous")
    assert_variant_matches_oracle(
        operation, variant, replace(problem, dtype=dtype), (*arrays, *last, np.array(0.25)), in_place=True
    )


@every_step
def test_numbers_in_memory_mean_what_numbers_mean(operation: Any, variant: str) -> None:
    """Learning rate, steps and factor; the latter a power of two, by which gradients may be multiplied before."""
    problem, count, (rate, *rest) = STEPS[operation.name]
    given = lists(0, count, "float32", "contiguous")
    told = on_device_of(operation, variant, [[array.copy() for array in group] for group in given])
    given[1] = [np.asarray(array * 2) for array in given[1]]
    read = on_device_of(operation, variant, given)
    counts = [[1, 2, 3, 1, 2000]] if rest else []
    with use_kernels(optimizer_steps=variant):
        operation(problem, *told, rate, *counts)
        places = [numbers(operation, variant, *counts[0])] if counts else []
        factor, place = numbers(operation, variant, 0.5, rate)
        operation(problem, *read, place, *places, factor)
    for position, (ours, right) in enumerate(zip(read, told, strict=True)):
        if position != 1:  # the gradients, which stay as they are
            np.testing.assert_equal([np.array(array) for array in ours], [np.array(array) for array in right])


def decided(
    operation: Any, variant: str, problem: ControlProblem, norm: float, loss: float, state: list[float]
) -> tuple[list[float], list[int]]:
    """The state after one decision, and the steps of three parameters, of which the second does not move."""
    arrays = on_device_of(
        operation,
        variant,
        [np.array(norm), np.array(loss), np.array(state, np.float64), np.array([4, 4, 0]), np.array([1, 0, 1])],
    )
    with use_kernels(optimizer_steps=variant):
        operation(problem, *arrays)
    return np.array(arrays[2]).tolist(), np.array(arrays[3]).tolist()


NAN = float("nan")
PLAIN, SCALED, CLIPPED = ControlProblem(), ControlProblem(grows_after=3), ControlProblem(max_norm=2.0)
TAKEN, LEFT_OUT = [5, 4, 1], [4, 4, 0]
# Problem, squared norm, loss, state before, state after, steps: state is scale, good steps, factor, stopped.
DECISIONS: dict[str, tuple[Any, ...]] = {
    "a step": (PLAIN, 9.0, 1.0, [1, 0, NAN, 0], [1, 1, 1, 0], TAKEN),
    "a norm that is too large": (CLIPPED, 9.0, 1.0, [1, 0, 0, 0], [1, 1, 2 / 3.000001, 0], TAKEN),
    "a norm that is not": (CLIPPED, 1.0, 1.0, [1, 0, 0, 0], [1, 1, 1, 0], TAKEN),
    "gradients that are not finite": (PLAIN, np.inf, 1.0, [1, 7, 1, 0], [1, 7, NAN, 1], LEFT_OUT),
    "a norm that is no number": (PLAIN, NAN, 1.0, [1, 7, 1, 0], [1, 7, NAN, 1], LEFT_OUT),
    "a loss that is not finite": (PLAIN, 1.0, -np.inf, [1, 7, 1, 0], [1, 7, NAN, 1], LEFT_OUT),
    "after such a step": (PLAIN, 1.0, 1.0, [1, 7, 1, 1], [1, 7, NAN, 1], LEFT_OUT),
    "a scaled step": (SCALED, 64.0, 1.0, [8, 0, 1, 0], [8, 1, 1 / 8, 0], TAKEN),
    "enough good steps": (SCALED, 64.0, 1.0, [8, 2, 1, 0], [16, 0, 1 / 8, 0], TAKEN),
    "the largest scale": (SCALED, 64.0, 1.0, [2.0**24, 2, 1, 0], [2.0**24, 0, 2.0**-24, 0], TAKEN),
    "an overflow": (SCALED, np.inf, 1.0, [8, 2, 1, 0], [4, 0, NAN, 0], LEFT_OUT),
    "an overflow of the smallest scale": (SCALED, np.inf, 1.0, [1, 2, 1, 0], [1, 2, NAN, 1], LEFT_OUT),
    "a scaled loss that is not finite": (SCALED, np.inf, NAN, [8, 2, 1, 0], [8, 2, NAN, 1], LEFT_OUT),
    "clipping what is scaled": (
        ControlProblem(max_norm=2.0, grows_after=3),
        576.0,
        1.0,
        [8, 0, 1, 0],
        [8, 1, 2 / 3.000001 / 8, 0],
        TAKEN,
    ),
}


@every_variant(optimizer_steps.control)
@pytest.mark.parametrize("name", DECISIONS)
def test_every_variant_of_control_decides(operation: Any, variant: str, name: str) -> None:
    problem, norm, loss, before, after, steps = DECISIONS[name]
    found, counts = decided(operation, variant, problem, norm, loss, [*before, 3, 0])
    # Three weights have been averaged before; a mean, unless the problem says otherwise.
    averaged = [4, 0.25] if steps is TAKEN else [3, NAN]
    np.testing.assert_allclose(found, [*after, *averaged], rtol=1e-15)  # a few roundings in float64
    assert counts == steps


@every_variant(optimizer_steps.control)
@pytest.mark.parametrize(
    ("share", "seen", "expected"), [(0.1, 0, 1.0), (0.1, 1, 0.1), (None, 0, 1.0), (0.0, 1, 0.0)]
)
def test_every_variant_of_control_shares(
    operation: Any, variant: str, share: float | None, seen: int, expected: float
) -> None:
    problem = ControlProblem(share=share)
    found, _ = decided(operation, variant, problem, 1.0, 1.0, [1, 0, 0, 0, seen, 0])
    assert found[4:] == [seen + 1, expected]


@every_variant(optimizer_steps.average)
@pytest.mark.parametrize("layout", ["contiguous", "strided"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("share", [0.25, 1.0, np.array(0.25), np.array(1.0)])
def test_every_variant_of_the_average(operation: Any, variant: str, layout: str, dtype: str, share: Any) -> None:
    means, values = lists(0, 2, dtype, layout)
    problem = AverageProblem(dtype)
    assert_variant_matches_oracle(operation, variant, problem, (means, values, share), in_place=True)


@every_variant(optimizer_steps.average)
def test_an_average_hears_nothing_of_a_step_that_was_left_out(operation: Any, variant: str) -> None:
    means, values = on_device_of(operation, variant, lists(0, 2, "float32", "contiguous"))
    before = [np.array(mean) for mean in means]
    with use_kernels(optimizer_steps=variant):
        operation(AverageProblem(), means, values, *numbers(operation, variant, NAN))
    np.testing.assert_equal([np.array(mean) for mean in means], before)


@without_compiler
def test_the_emulator_guards_arrays_that_a_kernel_finds_in_a_table() -> None:
    parameters, gradients = on_device_of(
        optimizer_steps.sgd, "multi_tensor", ([np.ones(5, np.float32)] * 2, [np.ones(5, np.float32)] * 2)
    )
    too_long = np.array([0, 1]), np.array([0, 0]), np.array([5, 6])
    with mock.patch.object(cuda, "chunks", lambda sizes: too_long), pytest.raises(KernelError) as caught:
        optimizer_steps.sgd(SgdProblem(), parameters, gradients, [], 0.1, [1, 1])
    # Eleven arguments, then two parameters; the second block writes one float too many.
    assert "block (1, 0, 0), thread (1, 0, 0)" in str(caught.value)
    assert "behind the end of argument 12" in str(caught.value)


def test_what_does_not_go_together_is_said_with_its_values() -> None:
    with pytest.raises(MinigradError, match=r"nesterov needs a positive momentum.*momentum=0\.0"):
        SgdProblem(nesterov=True)
    with pytest.raises(MinigradError, match=r"betas must be at least 0 and less than 1, got \(0\.9, 1\)"):
        AdamProblem(betas=(0.9, 1))
