"""GoogLeNet whole, beside PyTorch, from the same weights; `python -m benchmarks.parity` prints the errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pytest
import torch

import minigrad as mg
from benchmarks.parity import Errors, Experiment, Run, gradient_errors_alike, main, run_minigrad, run_torch
from benchmarks.torch_googlenet import TorchGoogLeNet
from minigrad import models

EXPERIMENTS = {
    "googlenet": Experiment("googlenet"),
    "googlenet-paper": Experiment("googlenet-paper"),
    # Sizes that no pool divides, of images that are not square batches; transformed input.
    "googlenet, 75 pixels": Experiment("googlenet", size=75, batch=3, steps=1, transform_input=True),
    # The size at which the paper's auxiliary heads have their own average pool, 5x5 with stride 3.
    "googlenet-paper, 224 pixels": Experiment("googlenet-paper", size=224, batch=1, steps=1),
}
TRAINED = ["googlenet", "googlenet-paper"]
KINDS = ["activations", "gradients", "statistics", "evaluation", "losses"]


def cases(names: Iterable[str]) -> list[Any]:
    """Every experiment with every kind of error; the paper's network has no running statistics."""
    return [
        pytest.param(name, kind, marks=together(name))
        for name in names
        for kind in KINDS
        if not ("paper" in name and kind == "statistics")
    ]


def together(name: str) -> pytest.MarkDecorator:
    """Tests of one experiment run in one process, which runs it once."""
    return pytest.mark.xdist_group(name)


@lru_cache(maxsize=1)  # a run holds hundreds of megabytes
def truth(name: str) -> Run:
    return run_torch(EXPERIMENTS[name], "float64")


@cache
def errors(name: str, framework: str, dtype: str) -> Errors:
    """Those of float32 gradients are against a truth that decided alike, and otherwise of PyTorch's float64."""
    experiment = EXPERIMENTS[name]
    run = {"minigrad": run_minigrad, "torch": run_torch}[framework](experiment, dtype)
    found = Errors.of(run, truth(name))
    if dtype == "float64":
        return found
    return replace(found, gradients=gradient_errors_alike(experiment, run))


def by_name(errors: Errors, kind: str) -> dict[str, float]:
    """The errors of one kind, by layer, parameter, buffer or step."""
    found = getattr(errors, kind)
    if isinstance(found, float):
        return {kind: found}
    return dict(found) if hasattr(found, "keys") else {f"step {i + 1}": error for i, error in enumerate(found)}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), cases(EXPERIMENTS))
def test_in_float64_everything_is_pytorchs(name: str, kind: str) -> None:
    found = by_name(errors(name, "minigrad", "float64"), kind)
    # The aim of the project is 1e-8: rounding (1e-16) times what 22 layers and ten steps amplify (up to 1e4).
    wrong = {part: error for part, error in found.items() if not error < 1e-8}
    assert found
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), cases(TRAINED))
def test_in_float32_errors_are_of_the_size_of_pytorchs_own(name: str, kind: str) -> None:
    ours = by_name(errors(name, "minigrad", "float32"), kind)
    theirs = by_name(errors(name, "torch", "float32"), kind)
    if kind == "losses":  # one number may happen to be rounded to the very truth, so the steps are taken together
        ours, theirs = {"worst": max(ours.values())}, {"worst": max(theirs.values())}
    # Both round as often, but the transforms of Winograd's convolution lose some bits: up to 4 times PyTorch's
    # error is measured. Where PyTorch was lucky with a few numbers, its median error counts.
    typical = float(np.median(list(theirs.values())))
    wrong = {
        part: (ours[part], theirs[part]) for part in ours if not ours[part] <= 10 * max(theirs[part], typical)
    }
    assert not wrong


trained_ones = pytest.mark.parametrize("name", [pytest.param(name, marks=together(name)) for name in TRAINED])


@pytest.mark.slow
@trained_ones
def test_every_layer_parameter_and_buffer_is_compared(name: str) -> None:
    model = models.build(name, num_classes=10, init_weights=False)
    found = errors(name, "minigrad", "float64")
    assert found.gradients.keys() == {"images", *dict(model.named_parameters())}
    assert found.statistics.keys() == dict(model.named_buffers()).keys()
    layers = {path for path, module in model.named_modules() if path and not isinstance(module, mg.nn.BatchNorm2d)}
    assert found.activations.keys() == layers
    assert len(found.losses) == 10


@pytest.mark.slow
@trained_ones
def test_the_ten_steps_train(name: str) -> None:
    # Losses that agree would say nothing if the steps did not change the weights.
    losses = truth(name).losses
    standing = run_torch(Experiment(name, learning_rate=0.0), "float64").losses
    assert losses[0] == standing[0]
    assert min(abs(a / b - 1) for a, b in zip(losses[1:], standing[1:], strict=True)) > 1e-3


def twins(name: str) -> tuple[models.GoogLeNet, TorchGoogLeNet]:
    ours = models.build(name, num_classes=10, init_weights=False)
    return ours, TorchGoogLeNet(10, paper=name == "googlenet-paper")


@pytest.mark.parametrize("name", TRAINED)
def test_weights_travel_both_ways(name: str) -> None:
    ours, theirs = twins(name)
    start = {key: value.numpy().copy() for key, value in ours.state_dict().items()}
    theirs.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in start.items()})
    for value in ours.state_dict().values():
        value.data[...] = 0
    ours.load_state_dict(theirs.state_dict())
    for key, value in ours.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), start[key], err_msg=key)


@pytest.mark.parametrize("name", TRAINED)
def test_without_auxiliary_heads_the_state_is_pytorchs_too(name: str) -> None:
    ours = models.build(name, aux_logits=False, init_weights=False)
    theirs = TorchGoogLeNet(aux_logits=False, paper=name == "googlenet-paper")
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_the_comparison_finds_what_is_wrong() -> None:
    def one(value: float, name: str = "fc") -> Run:
        state = {name: np.array([3.0, value])}
        return Run(state, {f"{name}.weight": np.array([1.0, value])}, {}, np.array([1.0]), [value])

    truth = one(4.0)
    assert set(Errors.of(truth, truth).worst().values()) == {0.0}
    found = Errors.of(one(4.5), truth)
    assert found.activations == {"fc": 0.1}
    assert found.losses == [0.125]
    assert Errors.of(one(np.nan), truth).worst()["gradients"] == np.inf
    assert Errors.of(one(np.inf), one(np.inf)).worst()["activations"] == np.inf
    with pytest.raises(ValueError, match="conv"):
        Errors.of(one(4.0, "conv"), truth)


def test_the_table_has_a_line_a_layer_and_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dtype", "float32", "--size", "15", "--batch", "2", "--steps", "2"]) == 0
    first_words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line]
    model = models.build("googlenet", num_classes=10, init_weights=False)
    layers = [path for path, module in model.named_modules() if path and not isinstance(module, mg.nn.BatchNorm2d)]
    assert sorted(set(layers)) == sorted(set(first_words) & set(layers))
    assert first_words[-4:] == ["1", "2", "minigrad", "PyTorch"]
