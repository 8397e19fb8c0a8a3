"""Every operation can be measured, and its own variants are right by the workbench's rules, in place or not."""

from __future__ import annotations

from random import Random
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.errors import NoSuchExample

from claims.variants import without_compiler
from minigrad.kernels.registry import OPERATIONS
from minigrad.workbench.case import Case
from minigrad.workbench.contracts import CONTRACTS, Contract, contracts_named
from minigrad.workbench.layers import layers_for, traced_layers
from minigrad.workbench.odd import SEARCH, odd_rows
from minigrad.workbench.pytorch import torch_call
from minigrad.workbench.session import Session
from minigrad.workbench.settings import Settings

NAMED = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)


def small(contract: Contract) -> Case:
    """A case of one odd problem, the last that a search looks at."""
    drawn: list[Any] = []

    def noted(problem: Any) -> bool:
        drawn.append(problem)
        return False

    with pytest.raises(NoSuchExample):
        hypothesis.find(contract.odd, noted, settings=settings(SEARCH, max_examples=2), random=Random(3))
    return Case(contract, drawn[-1], "cpu", np.random.default_rng(3))


def test_every_operation_of_the_registry_has_a_contract() -> None:
    assert OPERATIONS.keys() == CONTRACTS.keys()


def test_googlenet_has_layers_or_stand_ins_of_every_operation() -> None:
    layers = layers_for(list(CONTRACTS.values()), "googlenet", 4, 32, "float32")
    assert {layer.operation for layer in layers} == CONTRACTS.keys()
    assert all(layer.paths and layer.problem.dtype == "float32" for layer in layers)
    assert [layer.operation for layer in layers] == sorted(
        (layer.operation for layer in layers), key=list(CONTRACTS).index
    )


def test_a_model_that_has_the_layers_needs_no_stand_ins() -> None:
    (first, *_) = layers_for(contracts_named("local_response_norm_forward"), "googlenet-paper", 4, 64, "float32")
    assert first.paths == ("norm1",)


@pytest.mark.parametrize("name", ["branch1", "branch2.0", "branch3.0"])
def test_convolutions_that_run_as_one_are_found_by_the_name_of_each(name: str) -> None:
    layers = layers_for(contracts_named("conv2d"), "googlenet", 4, 32, "float32")
    found = [layer for layer in layers if layer.contains(f"inception5b.{name}.conv")]
    assert {layer.paths for layer in found} == {("inception5b.{branch1,branch2.0,branch3.0}.conv",)}
    assert len({layer.operation for layer in found}) >= 3  # forward and both gradients


def test_sums_are_those_of_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The problems counted in the forward pass are what `backward` asks the registry for."""
    from minigrad import models
    from minigrad.creation import zeros
    from minigrad.kernels import accumulate

    asked = set()
    for operation in (accumulate.add, accumulate.add_to):
        select = operation.select

        def noted(problem: Any, device: str, select: Any = select, name: str = operation.name) -> Any:
            asked.add((name, problem))
            return select(problem, device)

        monkeypatch.setattr(operation, "select", noted)
    network = models.build("googlenet")
    models.loss(network(zeros((2, 3, 32, 32))), zeros(2, "int64")).backward()
    traced = traced_layers("googlenet", 2, 32, "float32")
    assert {(x.operation, x.problem) for x in traced if x.operation.startswith("accumulate")} == asked


def test_products_are_those_of_the_layer_and_of_its_gradients() -> None:
    layers = layers_for(contracts_named("matmul"), "googlenet", 5, 32, "float32")
    problems = {(layer.problem.left, layer.problem.right) for layer in layers if layer.paths[0] == "fc"}
    images, weight = (5, 1024), (1024, 1000)
    assert problems == {(images, weight), ((5, 1000), (1000, 1024)), ((1000, 5), (5, 1024))}


@NAMED
def test_problems_can_be_written_by_hand(contract: Contract) -> None:
    from minigrad.workbench.by_hand import parse_problem

    problem = small(contract).problem
    assert parse_problem(str(problem)) == problem


@NAMED
def test_the_yardstick_runs(contract: Contract) -> None:
    """PyTorch does the same work, and leaves the arguments alone, those too that both change in place."""
    case = small(contract)
    call = torch_call(contract, case.problem, case.sets[0])
    if contract.torch is None:
        assert contract.operation.name == "step_control"  # which PyTorch does in Python
        return
    assert call is not None
    call()
    case.restore(0)
    assert "right" in {row.verdict for row in rows(contract)}


def rows(contract: Contract, device: str = "cpu") -> list[Any]:
    """What the workbench says of each variant on odd problems."""
    how = Settings(device, odd=4, seed=2)
    return odd_rows(contract, Session(how, None).variants(contract), how)


@without_compiler
@NAMED
def test_every_variant_is_right_on_odd_problems(contract: Contract) -> None:
    found = rows(contract) + rows(contract, "emulated")
    assert [(row.variant, row.reason) for row in found if row.verdict == "wrong"] == []


@NAMED
def test_arguments_are_what_they_were_after_a_case_is_restored(contract: Contract) -> None:
    from minigrad.workbench.contracts import arrays_in

    case = small(contract)
    before = [array.copy() for array in arrays_in(tuple(case.sets[0].values()))]
    contract.operation.variants["reference"].function(case.problem, *case.sets[0].values())
    changed = not all(
        np.array_equal(a, b) for a, b in zip(before, arrays_in(tuple(case.sets[0].values())), strict=True)
    )
    assert changed == bool(contract.changes)
    case.restore(0)
    for array, kept in zip(arrays_in(tuple(case.sets[0].values())), before, strict=True):
        np.testing.assert_array_equal(array, kept)
