"""Variants that say they compute in launches alone: recorded, these launches do the same to other numbers."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis.strategies import data as drawing
from hypothesis.strategies import just, sampled_from

from claims.variants import lay_out, marks_of
from minigrad.kernels.concat import ConcatProblem
from minigrad.kernels.cpu.buffers import PrivatePool, allocating_from
from minigrad.kernels.cpu.plan import Plan
from minigrad.kernels.cpu.recording import Recording
from minigrad.kernels.variant import Variant
from minigrad.workbench.contracts import CONTRACTS, Contract, arrays_in

REPLAYED = [
    pytest.param(contract, variant, id=f"{name}-{variant.name}", marks=marks_of(variant))
    for name, contract in CONTRACTS.items()
    for variant in contract.operation.variants.values()
    if variant.only_launches
]


def laid(argument: Any, layout: str) -> Any:
    if isinstance(argument, tuple):
        return tuple(laid(item, layout) for item in argument)
    four = isinstance(argument, np.ndarray) and argument.ndim == 4
    return lay_out(argument, layout) if four else argument.copy() if isinstance(argument, np.ndarray) else argument


def results(contract: Contract, found: Any, arguments: dict[str, Any]) -> list[np.ndarray]:
    """What a call gave, and what it changed."""
    changed = [arguments[name] for name in contract.changes]
    return [np.asarray(array) for array in (*arrays_in((found,)), *arrays_in(tuple(changed)))]


ONE_AXIS = just(ConcatProblem(((3, 4, 2), (5, 4, 2), (1, 4, 2)), 0))  # the workbench joins channels


@pytest.mark.parametrize(("contract", "variant"), REPLAYED)
def test_recorded_launches_do_the_same_to_other_numbers(contract: Contract, variant: Variant) -> None:
    @hypothesis.settings(
        max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
    )
    @given(drawing())
    def check(data: Any) -> None:
        problems = ONE_AXIS if variant.name == "elements" else contract.odd
        problem = data.draw(problems.filter(lambda problem: variant.obstacle(problem, "cpu") is None))
        layout = data.draw(sampled_from(["channels_last", "contiguous"]))
        generator = np.random.default_rng(0)
        first, second = (laid_out(contract.draw(problem, generator), layout) for _ in range(2))
        numbers = {name: value for name, value in first.items() if not arrays_in((value,))}
        second = {**second, **numbers}  # a number is a part of what was recorded, an array is not
        expected_arguments = {name: laid(value, layout) for name, value in second.items()}
        expected = results(contract, variant(problem, *expected_arguments.values()), expected_arguments)

        pool = PrivatePool()
        with allocating_from(pool), Recording(pool) as recording:
            found = results(contract, variant(problem, *first.values()), first)
        for array, values in zip(arrays_in(tuple(first.values())), arrays_in(tuple(second.values())), strict=True):
            array[...] = values
        Plan(recording).launch()
        for ours, right in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, right)

    check()


def laid_out(arguments: dict[str, Any], layout: str) -> dict[str, Any]:
    return {name: laid(value, layout) for name, value in arguments.items()}


def test_all_that_a_training_step_of_googlenet_runs_is_among_them() -> None:
    names = {f"{case.id}" for case in REPLAYED}
    assert names >= {
        *("conv2d_forward-direct", "conv2d_forward-winograd", "conv2d_input_gradient-direct"),
        *("conv2d_weight_gradient-winograd", "conv2d_weight_gradient-matrix_tiles", "concat-channels_last"),
        *("batch_norm_forward_training-channels_last", "batch_norm_backward_training-channels_last"),
        *("max_pool2d_forward-channels_last", "max_pool2d_input_gradient-channels_last", "matmul-shared"),
        *("dropout-blocks", "accumulate_add-rows", "accumulate_add_to-rows"),
    }
