"""What the loop reports is what happened; what it watches changes nothing; what it cannot train it explains."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import minigrad as mg
from claims.runs import assert_same_state, configuration, make_training, metrics_without_times
from claims.tiny import TinyNet, write_images
from minigrad.data import Loader
from minigrad.nn import Module
from minigrad.random import default_generator
from minigrad.train.checkpoint import read_weights
from minigrad.train.config import TrainConfig
from minigrad.train.evaluation import Tally, evaluate
from minigrad.train.loop import make_objective
from minigrad.train.non_finite import NonFiniteError
from minigrad.train.warm_up import compilations, warm_up
from minigrad.train.world import average_gradients


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


def arrays(model: Module) -> dict[str, Any]:
    return {name: np.array(tensor.data) for name, tensor in model.state_dict().items()}


# What it reports


def test_a_tally_is_pytorchs_cross_entropy_and_the_share_of_highest_logits() -> None:
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(0, 3, (40, 7)), generator.integers(0, 7, 40)
    tally = Tally()
    tally.add(logits[:25], labels[:25])
    tally.add(logits[25:], labels[25:])
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels)).item()
    assert tally.mean_loss == pytest.approx(expected, rel=1e-12)  # float64, another order of the sum
    assert tally.accuracy == (logits.argmax(axis=1) == labels).mean()


def test_the_last_metrics_are_those_of_the_last_weights(images: Path, tmp_path: Path) -> None:
    training = make_training(configuration(images), tmp_path / "run")
    training.run()
    model = TinyNet(3)
    model.load_state_dict(read_weights(tmp_path / "run/last.safetensors")[0])
    tally = evaluate(model, Loader(training.dataset, training=False, batch_size=8)).tally
    record = metrics_without_times(tmp_path / "run")[-1]
    assert (tally.mean_loss, tally.accuracy) == (record["test_loss"], record["test_accuracy"])


def test_an_evaluation_counts_every_test_image_and_leaves_the_model_as_it_was(
    images: Path, tmp_path: Path
) -> None:
    training = make_training(configuration(images), tmp_path / "run")
    before = arrays(training.model)
    evaluation = evaluate(training.model, training.test_loader)
    assert evaluation.confusion.sum(axis=1).tolist() == [4, 4, 4]
    assert np.trace(evaluation.confusion) == evaluation.tally.right
    assert training.model.training
    assert_same_state(arrays(training.model), before)


def test_with_an_average_it_is_the_average_that_is_tested_and_kept(images: Path, tmp_path: Path) -> None:
    training = make_training(configuration(images, average="polyak"), tmp_path / "run")
    training.run()
    kept = read_weights(tmp_path / "run/last.safetensors")[0]
    assert training.average is not None
    averages = training.average.state_dict()["averages"]
    assert_same_state({name: kept[name] for name in averages}, averages)
    assert not np.array_equal(kept["fc.weight"], training.model.state_dict()["fc.weight"].data)


def test_two_runs_of_one_seed_are_the_same_and_of_two_seeds_are_not(images: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_training(configuration(images, seed=seed), tmp_path / name).run()
    assert metrics_without_times(tmp_path / "a") == metrics_without_times(tmp_path / "b")
    assert metrics_without_times(tmp_path / "a") != metrics_without_times(tmp_path / "c")


# What it watches


def test_warming_up_changes_no_bit_of_the_run(images: Path, tmp_path: Path) -> None:
    config = configuration(images, optimizer="adam", clip_norm=1.0)
    training = make_training(config, tmp_path / "run")
    training.model.parameters()
    before, random = arrays(training.model), default_generator.state_dict()
    warm_up(config, training.model, make_objective(config), (8, 3, 12, 12), 3)
    assert_same_state(arrays(training.model), before)
    assert default_generator.state_dict() == random
    assert training.model.training
    assert all(parameter.grad is None for parameter in training.model.parameters())


def test_each_compilation_is_heard_once_and_a_second_call_in_silence() -> None:
    import numba

    @numba.njit
    def inner(x: float) -> float:
        return x + 1

    @numba.njit
    def outer(x: float) -> float:
        return inner(x) * 2

    heard: list[tuple[int, str]] = []
    with compilations(lambda done, name: heard.append((done, name))) as listener:
        outer(1.0)
        assert listener.count == 2
        outer(2.0)
    assert heard == [(0, "outer"), (0, "inner")]
    assert listener.count == 2
    outer(1)  # another type, but nobody listens any more
    assert listener.count == 2


def test_looking_for_anomalies_changes_no_bit(images: Path, tmp_path: Path) -> None:
    for name, detect in (("a", False), ("b", True)):
        make_training(configuration(images, detect_anomaly=detect), tmp_path / name).run()
    assert metrics_without_times(tmp_path / "a") == metrics_without_times(tmp_path / "b")


# What it cannot train


class Poison(Module):
    """Gives its input, but at call number `call` divides it by zero, or makes only its gradient infinite."""

    def __init__(self, call: int, backward: bool) -> None:
        self.calls_left, self.backward = call, backward
        self.armed = False

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        self.calls_left -= 1
        self.armed = self.armed or self.calls_left == 0
        if not self.armed:
            return x
        return x + mg.sqrt(x * 0.0) if self.backward else x / (x * 0.0)


class PoisonedNet(TinyNet):
    """TinyNet, going wrong in its part "poison" at the fifth training step."""

    def __init__(self, num_classes: int, backward: bool = False) -> None:
        super().__init__(num_classes)
        self.poison = Poison(5, backward)

    def forward(self, x: mg.Tensor) -> Any:
        return super().forward(self.poison(x) if self.training else x)


def poisoned_in_backward(num_classes: int) -> PoisonedNet:
    net = PoisonedNet(num_classes, backward=True)
    # The images need no gradient: one parameter before the poison makes it flow through.
    net.scale = mg.nn.Parameter(np.ones(1, np.float32))  # type: ignore[assignment]
    poison = net.poison.forward
    net.poison.forward = lambda x: poison(x * net.scale)  # type: ignore[method-assign,attr-defined,operator]
    return net


@pytest.mark.parametrize("detect", [False, True])
@pytest.mark.parametrize(
    ("model", "phrases"),
    [
        (PoisonedNet, ["forward", "divide", "in poison (Poison)", "test_loop.py", "x / (x * 0.0)"]),
        (poisoned_in_backward, ["backward", "sqrt", "in poison (Poison)", "test_loop.py", "mg.sqrt(x * 0.0)"]),
    ],
)
def test_what_is_not_finite_stops_the_run_and_names_the_operation(
    images: Path, tmp_path: Path, model: Any, phrases: list[str], detect: bool
) -> None:
    training = make_training(configuration(images, epochs=3, detect_anomaly=detect), tmp_path / "run", model)
    with pytest.raises(NonFiniteError) as caught:
        training.run()
    message = str(caught.value)
    for phrase in [*phrases, "epoch 2 after 1 of 3 batches", "resume.safetensors"]:
        assert phrase in message
    # The checkpoint of epoch 1 stands, and holds finite weights only.
    again = make_training(configuration(images, epochs=3), tmp_path / "run", model)
    again.resume()
    assert (again.epoch, again.batch) == (1, 0)
    assert all(np.isfinite(value).all() for value in arrays(again.model).values())


def test_weights_that_were_not_finite_before_the_step_are_named(images: Path, tmp_path: Path) -> None:
    training = make_training(configuration(images), tmp_path / "run")
    training.model.state_dict()["fc.bias"].data[0] = np.nan
    with pytest.raises(NonFiniteError, match=r"fc\.bias was not finite before it; there was no checkpoint yet"):
        training.run()


def test_a_step_that_failed_has_left_weights_statistics_and_random_numbers(images: Path, tmp_path: Path) -> None:
    net = PoisonedNet(3)
    net.poison.calls_left = 1
    training = make_training(configuration(images), tmp_path / "run", lambda num_classes: net)
    before, random = arrays(training.model), default_generator.state_dict()
    with pytest.raises(NonFiniteError):
        training.run()
    assert_same_state(arrays(training.model), before)
    assert default_generator.state_dict() == random


# Processes


class Twins:
    """Two processes that have the same: a sum over them is the double."""

    rank = 0
    world_size = 2

    def all_reduce(self, array: np.ndarray) -> np.ndarray:
        return array * 2


def test_gradients_are_averaged_and_sums_added_over_the_processes() -> None:
    parameter = mg.nn.Parameter(np.ones(3, np.float32))
    parameter.grad = mg.tensor([1.0, 2.0, 3.0])
    average_gradients(Twins(), [parameter])
    assert parameter.grad.data.tolist() == [1.0, 2.0, 3.0]
    tally = Tally(images=3, right=2, loss=1.5, seconds=1.0).over(Twins())
    assert (tally.images, tally.right, tally.loss, tally.seconds) == (6, 4, 3.0, 1.0)


# Recipes


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({"schedule": "constant"}, [0.01] * 6),
        ({"schedule": "step", "decay_every": 1, "decay_factor": 0.5}, [0.01] * 3 + [0.005] * 3),
        ({"schedule": "polynomial", "decay_power": 1.0}, [0.01 * (1 - step / 6) for step in range(6)]),
        ({"schedule": "cosine"}, [0.005 * (1 + math.cos(math.pi * step / 6)) for step in range(6)]),
        (
            {"schedule": "constant", "warmup_epochs": 1.0},
            [0.01 / 3, 0.01 / 3 + 0.01 * 2 / 9, 0.01 / 3 + 0.01 * 4 / 9, 0.01, 0.01, 0.01],
        ),
    ],
    ids=lambda value: value.get("schedule") if isinstance(value, dict) else None,
)
def test_the_learning_rate_of_each_step(
    images: Path, tmp_path: Path, options: dict[str, Any], rates: list[float]
) -> None:
    training = make_training(configuration(images, **options), tmp_path / "run")
    found = []
    step = training.optimizer.step

    def noting() -> None:
        found.append(training.scheduler.learning_rates[0])
        step()

    training.optimizer.step = noting  # type: ignore[method-assign]
    training.run()
    assert found == pytest.approx(rates, rel=1e-12)  # products in float64


def test_a_configuration_survives_json() -> None:
    config = TrainConfig(lr=0.1, average="ema", threads=2).completed()
    assert TrainConfig.from_json(config.to_json(), "config.json") == config
