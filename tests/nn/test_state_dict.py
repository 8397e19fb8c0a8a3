"""Saving a module's values and loading them again: all of them, or none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn


def make() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))


def values(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: x.numpy().copy() for name, x in module.state_dict().items()}


def assert_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    assert list(first) == list(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x,
        lambda x: x.numpy(),
        lambda x: torch.nn.Parameter(torch.tensor(x.numpy()), False),
        lambda x: x.tolist(),
    ],
    ids=["tensor", "array", "torch", "list"],
)
def test_a_round_trip_keeps_every_value(convert: Callable[[mg.Tensor], Any]) -> None:
    first, second = make(), make()
    first(mg.randn((4, 2, 3, 3)))  # moves the running statistics and the count
    difference = second.load_state_dict({name: convert(x) for name, x in first.state_dict().items()})
    assert difference == ([], [])
    assert_same(values(first), values(second))


def test_pytorch_loads_what_is_saved_here() -> None:
    module = make()
    theirs = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3))
    theirs.load_state_dict({name: torch.tensor(x.numpy()) for name, x in module.state_dict().items()})
    assert_same(values(module), {name: x.numpy() for name, x in theirs.state_dict().items()})


def test_the_state_shares_memory_and_loading_copies_into_the_same_arrays() -> None:
    module = make()
    array = module[0].weight.data  # type: ignore[index]
    state = module.state_dict()
    assert np.shares_memory(state["0.weight"].numpy(), array)
    given = {name: x.numpy() + 1 for name, x in state.items()}
    module.load_state_dict(given)
    assert module[0].weight.data is array  # type: ignore[index]
    assert not np.shares_memory(array, given["0.weight"])


def test_real_numbers_are_cast_to_the_dtype_of_the_module() -> None:
    module = make()
    module.load_state_dict(
        {n: x.numpy().astype("float64") if x.dtype.kind == "f" else x for n, x in module.state_dict().items()}
    )
    assert module[0].weight.dtype == np.float32  # type: ignore[index]


def test_one_error_lists_everything_that_is_wrong_and_nothing_is_loaded() -> None:
    module = make()
    before = values(module)
    state: dict[str, Any] = {name: x + 1 for name, x in before.items()}
    del state["0.bias"], state["1.running_mean"]
    state["fc.weight"] = np.zeros(1)
    state["0.weight"] = np.zeros((3, 2, 3, 3))
    state["1.weight"] = np.zeros(3, dtype=np.int32)
    state["1.num_batches_tracked"] = np.array(1.5)
    state["1.bias"] = ["a", "b", "c"]
    with pytest.raises(nn.StateError) as caught:
        module.load_state_dict(state)
    assert str(caught.value) == (
        "Sequential: this state does not belong to it; nothing was loaded. "
        "2 missing: 0.bias, 1.running_mean; "
        "1 unexpected: fc.weight; "
        "4 not fitting: 0.weight (shape (3, 2, 3, 3), expected (3, 2, 1, 1)), "
        "1.weight (dtype int32, expected float32), "
        "1.bias (dtype <U1, expected float32), "
        "1.num_batches_tracked (dtype float64, expected int64)"
    )
    assert_same(values(module), before)


def test_a_long_list_is_cut_short() -> None:
    with pytest.raises(nn.StateError, match=r"30 unexpected: x0, .*, x19 and 10 more$"):
        nn.Identity().load_state_dict({f"x{i}": np.zeros(1) for i in range(30)})


def test_without_strict_names_may_differ_but_shapes_may_not() -> None:
    module = make()
    before = values(module)
    difference = module.load_state_dict({"0.bias": np.full(3, 7.0), "head": np.zeros(1)}, strict=False)
    assert difference.missing == [name for name in before if name != "0.bias"]
    assert difference.unexpected == ["head"]
    assert_same(values(module), {**before, "0.bias": np.full(3, 7.0, np.float32)})
    with pytest.raises(nn.StateError, match=r"1 not fitting: 0.bias \(shape \(4,\), expected \(3,\)\)"):
        module.load_state_dict({"0.bias": np.zeros(4)}, strict=False)


def test_a_state_is_a_mapping() -> None:
    with pytest.raises(nn.StateError, match="a state is a mapping from names to arrays, not a list"):
        make().load_state_dict([1, 2])
