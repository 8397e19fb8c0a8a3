"""Training runs in this process, stopped wherever a test wants, and compared bit for bit."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from claims.tiny import SIDE, TinyNet
from minigrad.data import load_dataset
from minigrad.nn import Module
from minigrad.train.config import TrainConfig
from minigrad.train.evaluation import Tally
from minigrad.train.interruption import Interrupted
from minigrad.train.loop import Training
from minigrad.train.metrics import read_metrics
from minigrad.train.progress import Silent
from minigrad.train.run_folder import RunFolder

TIMES = ("images_per_second", "seconds")


def configuration(images: Path, **options: Any) -> TrainConfig:
    """Two epochs of three batches on the images of `write_images`."""
    return replace(
        TrainConfig(model="tiny", data=str(images), size=SIDE, epochs=2, batch_size=8), **options
    ).completed()


def make_training(config: TrainConfig, folder: Path, model: Callable[..., Module] = TinyNet) -> Training:
    """A run in `folder`, new or to be resumed."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset = load_dataset("folder", config.data, config.size)
    mg.manual_seed(config.seed)
    device = "cpu" if config.device == "auto" else config.device
    return Training(config, dataset, model(num_classes=len(dataset.class_names)), RunFolder(folder), device)


class CtrlC(Silent):
    """Presses Ctrl-C after `batches` batches, or at the start of the test that follows `epochs` epochs."""

    def __init__(self, batches: int = 0, epochs: int = 0) -> None:
        self.batches, self.epochs = batches, epochs

    def advance(self, tally: Tally) -> None:
        self.batches -= 1
        if self.batches == 0:
            signal.raise_signal(signal.SIGINT)

    def testing(self) -> None:
        self.epochs -= 1
        if self.epochs == 0:
            signal.raise_signal(signal.SIGINT)


def interrupt(training: Training, **when: int) -> str:
    """Run until Ctrl-C is pressed (see `CtrlC`); gives the message."""
    training.progress = CtrlC(**when)
    try:
        training.run()
    except Interrupted as stop:
        return str(stop)
    raise AssertionError("the run came to its end")


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every array and plain value of a nested state, by its place."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{name}/{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(item, f"{name}/{index}")
    else:
        yield name, value


def assert_same_state(first: Any, second: Any) -> None:
    """Two states are equal in every bit."""
    ours, theirs = dict(leaves(first)), dict(leaves(second))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        a, b = np.asarray(value), np.asarray(theirs[name])
        assert a.dtype == b.dtype, name
        assert a.shape == b.shape, name
        assert a.tobytes() == b.tobytes(), name


def metrics_without_times(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, without what no two runs share."""
    return [
        {name: value for name, value in record.items() if name not in TIMES}
        for record in read_metrics(folder / "metrics.jsonl")
    ]
