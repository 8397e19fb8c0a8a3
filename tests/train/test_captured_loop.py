"""A run whose steps are graphs is the run whose steps are launched one by one; on the stand-in for CuPy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claims import fake_cupy
from claims.runs import configuration, interrupt, make_training, metrics_without_times
from claims.tiny import TinyNet, write_images
from claims.variants import without_compiler, without_gpu
from minigrad.nn import Module
from minigrad.tensor import Tensor
from minigrad.train.checkpoint import read_weights
from minigrad.train.loop import Training
from minigrad.train.non_finite import NonFiniteError

pytestmark = without_compiler


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=[pytest.mark.gpu, without_gpu])], autouse=True)
def gpu(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "gpu":
        yield
    else:
        with fake_cupy.installed():
            yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


def a_run(images: Path, folder: Path, model: Any = TinyNet, **options: Any) -> Training:
    # Batches of 7: the last of an epoch is smaller, and has a graph of its own.
    return make_training(configuration(images, device="cuda", batch_size=7, **options), folder, model)


def left_behind(folder: Path) -> tuple[Any, dict[str, np.ndarray]]:
    return metrics_without_times(folder), read_weights(folder / "last.safetensors")[0]


def assert_runs_are_the_same(images: Path, folder: Path, **options: Any) -> None:
    found = []
    for name, graph in (("graph", True), ("one by one", False)):
        training = a_run(images, folder / name, graph=graph, **options)
        training.run()
        assert (training.steps.captured is not None) == graph
        found.append(left_behind(folder / name))
    np.testing.assert_equal(*found)


def test_all_of_a_run_is_the_same(images: Path, tmp_path: Path) -> None:
    assert_runs_are_the_same(images, tmp_path)


def test_with_loss_scaling_and_clipping(images: Path, tmp_path: Path) -> None:
    assert_runs_are_the_same(images, tmp_path, precision="float16", clip_norm=0.5, optimizer="adamw")


@pytest.mark.parametrize("average", ["ema", "polyak"])
def test_with_an_average_of_the_weights(images: Path, tmp_path: Path, average: str) -> None:
    """In float16, where steps are left out, of which the average must not hear."""
    assert_runs_are_the_same(images, tmp_path, average=average, precision="float16")


def test_stopped_and_resumed_it_is_the_run_that_was_not(images: Path, tmp_path: Path) -> None:
    options = {"checkpoint_every": 3, "average": "polyak", "optimizer": "adam"}
    a_run(images, tmp_path / "whole", **options).run()
    training = a_run(images, tmp_path / "parts", **options)
    words = interrupt(training, batches=2)
    assert "after 2 of 4 batches" in words
    resumed = a_run(images, tmp_path / "parts", **options)
    resumed.resume()
    assert resumed.batch == 2
    resumed.run()
    np.testing.assert_equal(left_behind(tmp_path / "parts"), left_behind(tmp_path / "whole"))


class Poison(Module):
    """TinyNet, but a batch whose mean is `bad` gives no number."""

    def __init__(self, num_classes: int, bad: float) -> None:
        self.net, self.bad = TinyNet(num_classes), bad

    def forward(self, x: Tensor) -> Any:
        return self.net(x / (abs(x.mean() - self.bad) > 1e-5).astype(x.dtype))


def test_a_step_that_is_not_finite_is_explained_and_changes_nothing(images: Path, tmp_path: Path) -> None:
    means = [float(x.mean()) for x, _ in a_run(images, tmp_path / "data").train_loader.epoch(0)]
    training = a_run(images, tmp_path / "run", lambda num_classes: Poison(num_classes, means[2]), epochs=1)
    with pytest.raises(
        NonFiniteError, match=r"loss nan in epoch 1 after 2 of 4 batches: .*divide in Poison.*x / "
    ):
        training.run()
    assert training.steps.captured is not None
    assert training.optimizer.steps_taken()[0] == 2
    assert all(np.isfinite(parameter.numpy()).all() for parameter in training.model.parameters())


def test_what_has_to_wait_goes_one_by_one(images: Path, tmp_path: Path) -> None:
    for name, options in (("a", {"detect_anomaly": True}), ("b", {"graph": False})):
        training = a_run(images, tmp_path / name, epochs=1, **options)
        training.run()
        assert training.steps.captured is None
