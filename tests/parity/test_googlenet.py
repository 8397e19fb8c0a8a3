"""GoogLeNet whole, beside PyTorch, from the same weights; `python -m benchmarks.parity` prints the errors."""

from __future__ import annotations

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


def by_part(errors: Errors) -> dict[str, dict[str, float]]:
    """The errors by kind, and in it by layer, parameter, buffer or step."""
    return {
        "activations": dict(errors.activations),
        "gradients": dict(errors.gradients),
        "statistics": dict(errors.statistics),
        "evaluation": {"logits": errors.evaluation},
        "losses": {f"step {i + 1}": error for i, error in enumerate(errors.losses)},
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_in_float64_everything_is_pytorchs(name: str) -> None:
    experiment = EXPERIMENTS[name]
    errors = Errors.of(run_minigrad(experiment, "float64"), run_torch(experiment, "float64"))
    # The aim of the project is 1e-8: rounding (1e-16) times what 22 layers and ten steps amplify (up to 1e4).
    wrong = {
        (kind, part): error
        for kind, found in by_part(errors).items()
        for part, error in found.items()
        if not error < 1e-8
    }
    assert not wrong
    assert_everything_is_compared(errors, experiment)


def assert_everything_is_compared(errors: Errors, experiment: Experiment) -> None:
    """Every layer, parameter, buffer and step."""
    model = models.build(experiment.model, num_classes=10, init_weights=False)
    assert errors.gradients.keys() == {"images", *dict(model.named_parameters())}
    assert errors.statistics.keys() == dict(model.named_buffers()).keys()
    layers = {path for path, module in model.named_modules() if path and not isinstance(module, mg.nn.BatchNorm2d)}
    assert errors.activations.keys() == layers
    assert len(errors.losses) == experiment.steps


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_in_float32_errors_are_of_the_size_of_pytorchs_own(name: str) -> None:
    experiment = EXPERIMENTS[name]
    truth = run_torch(experiment, "float64")
    found = []
    for framework in (run_minigrad, run_torch):
        run = framework(experiment, "float32")
        found.append(by_part(Errors.of(run, truth)))
        found[-1]["gradients"] = gradient_errors_alike(experiment, run)
        # One loss may happen to be rounded to the very truth, so the steps are taken together.
        found[-1]["losses"] = {"worst": max(found[-1]["losses"].values())}
    ours, theirs = found
    # Both round as often, but the transforms of Winograd's convolution lose some bits: up to 6 times PyTorch's
    # error is measured. Where PyTorch was lucky with a few numbers, its median error counts.
    wrong = {
        (kind, part): (error, theirs[kind][part])
        for kind in ours
        for part, error in ours[kind].items()
        if not error <= 10 * max(theirs[kind][part], float(np.median(list(theirs[kind].values()))))
    }
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_the_steps_train(name: str) -> None:
    # Losses that agree would say nothing if the steps did not change the weights.
    losses, standing = (
        run_torch(Experiment(name, steps=4, learning_rate=rate), "float64").losses
        for rate in (Experiment.learning_rate, 0.0)
    )
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
    assert first_words[-6:] == ["1", "2", "minigrad", "minigrad", "PyTorch", "PyTorch"]
