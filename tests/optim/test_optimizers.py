"""Optimisers take PyTorch's steps, in groups, with gaps, and from a saved state."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn, optim

# Ten steps in float64; each formula is a handful of roundings, in PyTorch's order or nearly.
TOLERANCE = 1e-12

SHAPES = [(3, 4), (5,), (), (2, 1, 2)]

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9}),
    ("RMSprop", {"lr": 0.1, "centered": True}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9, "centered": True, "weight_decay": 0.1, "maximize": True}),
]


def case_id(value: Any) -> str:
    return value if isinstance(value, str) else ",".join(f"{k}={v}" for k, v in value.items())


class Pair:
    """The same parameters here and in PyTorch, which are given the same gradients."""

    def __init__(self, dtype: str = "float64") -> None:
        self.generator = np.random.default_rng(0)
        self.dtype = dtype
        values = [self.generator.standard_normal(shape).astype(dtype) for shape in SHAPES]
        self.ours = [nn.Parameter(value.copy()) for value in values]
        self.theirs = [torch.nn.Parameter(torch.tensor(value)) for value in values]

    def set_gradients(self, without: tuple[int, ...] = ()) -> None:
        for i, (p, q) in enumerate(zip(self.ours, self.theirs, strict=True)):
            gradient = self.generator.standard_normal(p.shape).astype(self.dtype)
            p.grad = None if i in without else mg.tensor(gradient)
            q.grad = None if i in without else torch.tensor(gradient)

    def assert_equal(self, tolerance: float = TOLERANCE) -> None:
        for p, q in zip(self.ours, self.theirs, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance)


def make(name: str, pair: Pair, options: dict[str, Any]) -> tuple[optim.Optimizer, torch.optim.Optimizer]:
    return getattr(optim, name)(pair.ours, **options), getattr(torch.optim, name)(pair.theirs, **options)


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=case_id)
def test_ten_steps_are_pytorchs(name: str, options: dict[str, Any]) -> None:
    pair = Pair()
    ours, theirs = make(name, pair, options)
    for _ in range(10):
        pair.set_gradients()
        ours.step()
        theirs.step()
        pair.assert_equal()


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=case_id)
def test_ten_steps_in_float32_are_pytorchs(name: str, options: dict[str, Any]) -> None:
    pair = Pair("float32")
    ours, theirs = make(name, pair, options)
    for _ in range(10):
        pair.set_gradients()
        ours.step()
        theirs.step()
    # Ten steps of a few roundings of 6e-8 each, around numbers near 1; a small v under Adam's root magnifies them.
    pair.assert_equal(1e-4 if name == "RMSprop" and options.get("centered") else 1e-5)
    assert all(p.dtype == np.float32 for p in pair.ours)


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=case_id)
def test_a_parameter_without_gradient_stays_and_counts_its_own_steps(name: str, options: dict[str, Any]) -> None:
    pair = Pair()
    ours, theirs = make(name, pair, options)
    for step in range(6):
        pair.set_gradients(without=(0, 2) if step < 3 else (1,))
        before = pair.ours[0].numpy().copy()
        ours.step()
        theirs.step()
        assert step >= 3 or np.array_equal(pair.ours[0].numpy(), before)
        pair.assert_equal()


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_groups_have_options_of_their_own(name: str) -> None:
    pair = Pair()

    def grouped(parameters: list[Any]) -> list[dict[str, Any]]:
        return [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.5, "weight_decay": 0.2}]

    ours = getattr(optim, name)(grouped(pair.ours), lr=0.1)
    theirs = getattr(torch.optim, name)(grouped(pair.theirs), lr=0.1)
    for step in range(10):
        if step == 5:
            for optimizer in (ours, theirs):
                optimizer.param_groups[0]["lr"] = 0.01
                optimizer.param_groups[1]["weight_decay"] = 0.0
        pair.set_gradients()
        ours.step()
        theirs.step()
        pair.assert_equal()


def test_a_group_can_be_added_later() -> None:
    pair = Pair()
    ours = optim.Adam(pair.ours[:2])
    theirs = torch.optim.Adam(pair.theirs[:2])
    for step in range(4):
        if step == 2:
            ours.add_param_group({"params": pair.ours[2:], "lr": 0.3})
            theirs.add_param_group({"params": pair.theirs[2:], "lr": 0.3})
        pair.set_gradients()
        ours.step()
        theirs.step()
        pair.assert_equal()


def test_dtypes_may_be_mixed() -> None:
    wide, narrow = nn.Parameter(mg.ones(3, dtype="float64")), nn.Parameter(mg.ones(3))
    for p in (wide, narrow):
        p.grad = mg.ones(3, dtype=p.dtype)
    optim.SGD([wide, narrow], lr=0.5).step()
    assert wide.tolist() == narrow.tolist() == [0.5] * 3
    assert (wide.dtype, narrow.dtype) == (np.float64, np.float32)


def test_steps_change_the_arrays_in_place_and_not_the_gradients() -> None:
    pair = Pair()
    pair.set_gradients()
    arrays = [p.data for p in pair.ours]
    gradients = [np.array(p.grad) for p in pair.ours]
    optim.SGD(pair.ours, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True).step()
    assert all(p.data is array for p, array in zip(pair.ours, arrays, strict=True))
    for p, gradient in zip(pair.ours, gradients, strict=True):
        np.testing.assert_array_equal(np.array(p.grad), gradient)


def test_an_optimiser_trains_a_model() -> None:
    mg.manual_seed(0)
    model = nn.Linear(3, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x = mg.randn((64, 3))
    target = x @ mg.tensor([[1.0], [-2.0], [0.5]]) + 3.0
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), target).backward()
        optimizer.step()
    np.testing.assert_allclose(model.weight.numpy(), [[1.0, -2.0, 0.5]], atol=1e-4)  # 200 steps leave less
    np.testing.assert_allclose(np.array(model.bias), [3.0], atol=1e-4)


# Saved states


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint does to a state: options become JSON, arrays stay arrays."""
    arrays = {n: {k: np.array(v) if k != "step" else v for k, v in s.items()} for n, s in state["state"].items()}
    return {"state": arrays, "param_groups": json.loads(json.dumps(state["param_groups"]))}


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=case_id)
def test_a_run_goes_on_from_a_saved_state_bit_for_bit(name: str, options: dict[str, Any]) -> None:
    whole, parted = Pair(), Pair()
    first = getattr(optim, name)(whole.ours, **options)
    second = getattr(optim, name)(parted.ours, **options)
    for step in range(8):
        if step == 4:
            saved = through_json(second.state_dict())
            second = getattr(optim, name)(parted.ours)  # with other options, which the state brings back
            second.load_state_dict(saved)
        for pair, optimizer in ((whole, first), (parted, second)):
            pair.set_gradients(without=(1,) if step % 3 == 0 else ())
            optimizer.step()
    for p, q in zip(whole.ours, parted.ours, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_the_state_has_pytorchs_names() -> None:
    for name, options in OPTIONS:
        pair = Pair()
        ours, theirs = make(name, pair, options)
        pair.set_gradients()
        ours.step()
        theirs.step()
        found = {key for key, value in ours.state_dict()["state"]["0"].items() if key != "step"}
        expected = {k for k, v in theirs.state_dict()["state"].get(0, {}).items() if k != "step" and v is not None}
        assert found == expected


def test_a_state_of_other_parameters_is_refused_and_changes_nothing() -> None:
    pair = Pair()
    optimizer = optim.Adam(pair.ours, lr=0.1)
    pair.set_gradients()
    optimizer.step()
    good = optimizer.state_dict()
    with pytest.raises(
        optim.OptimizerStateError, match=r"saved state has groups of \[1\] .* this optimiser of \[4\]"
    ):
        optimizer.load_state_dict({"state": {}, "param_groups": [{"lr": 9.0, "params": [0]}]})
    with pytest.raises(optim.OptimizerStateError, match="speaks of a parameter 7"):
        optimizer.load_state_dict({**good, "state": {"7": {"step": 1}}})
    wrong = {"0": {"step": 1, "exp_avg": np.zeros(2)}}
    with pytest.raises(
        optim.OptimizerStateError, match=r"exp_avg of parameter 0 has shape \(2,\), the parameter \(3, 4\)"
    ):
        optimizer.load_state_dict({"state": wrong, "param_groups": [{"lr": 9.0, "params": [0, 1, 2, 3]}]})
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert optimizer.state_dict()["state"]["0"]["exp_avg"] is good["state"]["0"]["exp_avg"]


# What is refused

PARAMETER = nn.Parameter([1.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD([]), "SGD: there are no parameters to optimise"),
        (
            lambda: optim.SGD([PARAMETER, PARAMETER]),
            r"SGD: parameter 1 of group 0, of shape \(1,\), is there a second",
        ),
        (lambda: optim.SGD([{"params": PARAMETER}] * 2), "SGD: parameter 0 of group 1, .* is there a second time"),
        (lambda: optim.SGD([np.ones(3)]), "SGD: parameter 0 .* is a ndarray, not a Tensor"),  # type: ignore[arg-type]
        (lambda: optim.SGD([PARAMETER * 2.0]), "a parameter is a leaf of real numbers"),
        (lambda: optim.SGD([mg.arange(3)]), "of dtype int64|and dtype int64, cannot be optimised"),
        (lambda: optim.SGD([{"params": PARAMETER, "rate": 1}]), "any of lr, momentum, .*; got 'rate'"),
        (lambda: optim.SGD([{"lr": 1}]), "this one has no 'params'"),
        (lambda: optim.SGD([PARAMETER], lr=-0.1), "SGD: lr must not be negative, got -0.1"),
        (lambda: optim.SGD([PARAMETER], lr=float("nan")), "SGD: lr must not be negative, got nan"),
        (lambda: optim.SGD([{"params": PARAMETER, "momentum": -1}]), "SGD: momentum must not be negative, got -1"),
        (lambda: optim.SGD([PARAMETER], nesterov=True), "nesterov needs a positive momentum"),
        (lambda: optim.Adam([PARAMETER], betas=(0.9, 1.0)), r"betas must .* got \(0.9, 1.0\)"),
        (lambda: optim.AdamW([PARAMETER], weight_decay=-1), "AdamW: weight_decay must not be negative, got -1"),
        (lambda: optim.RMSprop([PARAMETER], alpha=-1), "RMSprop: alpha must not be negative, got -1"),
    ],
)
def test_an_impossible_optimiser_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(mg.MinigradError, match=message):
        make()


def test_a_gradient_of_another_shape_is_refused_before_anything_changes() -> None:
    first, second = nn.Parameter([1.0]), nn.Parameter([1.0, 2.0])
    first.grad, second.grad = mg.ones(1), mg.ones(3)
    with pytest.raises(mg.ShapeError, match=r"SGD: parameter 1 has shape \(2,\), its gradient \(3,\)"):
        optim.SGD([first, second], lr=1.0).step()
    assert first.tolist() == [1.0]


def test_a_gradient_of_another_dtype_is_refused_before_anything_changes() -> None:
    first, second = nn.Parameter([1.0]), nn.Parameter([1.0, 2.0])
    first.grad, second.grad = mg.ones(1), mg.ones(2, dtype="float64")
    with pytest.raises(mg.DTypeError, match=r"SGD: parameter 1 .* has dtype float32, its gradient float64"):
        optim.SGD([first, second], lr=1.0).step()
    assert first.tolist() == [1.0]


def test_repr_shows_groups_and_options() -> None:
    optimizer = optim.RMSprop([{"params": [PARAMETER], "lr": 0.5}], alpha=0.9)
    assert repr(optimizer) == (
        "RMSprop(\n"
        "  (1 parameters: lr=0.5, alpha=0.9, eps=1e-08, weight_decay=0.0, momentum=0.0, centered=False, "
        "maximize=False)\n"
        ")"
    )
