"""minigrad train: a model learns, and leaves a folder of results."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigrad.train.config import ConfigError, TrainConfig, changed_for_resume, flag

from .arguments import add_config, add_debug, given_config
from .autotune import follow, tell_tuned, tune
from .compilation import compile_kernels
from .user_kernels import add_kernel, load_named

if TYPE_CHECKING:
    from minigrad.data import ImageDataset
    from minigrad.nn import Module
    from minigrad.train.evaluation import Evaluation
    from minigrad.train.loop import Training


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "train",
        help="train a model; without options, GoogLeNet on handwritten digits",
        description="Train a model. Without options: GoogLeNet on scikit-learn's handwritten digits.",
    )
    add_config(parser)
    add_kernel(parser)
    parser.add_argument(
        "--autotune",
        action="store_true",
        help="first time every kernel on this network's layers, and keep the fastest for this machine",
    )
    parser.add_argument("--out", default="runs", metavar="FOLDER", help="where the runs are (default: runs)")
    parser.add_argument("--name", metavar="NAME", help="of the run's folder; a new one is found by default")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="NAME",
        help="go on with a run that was stopped, the newest by default, as if it never had been",
    )
    add_debug(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if not arguments.kernel:
        return train(arguments)
    from minigrad.workbench.user_kernel import errors_with_places

    load_named(arguments.kernel)
    with errors_with_places(arguments.kernel):
        return train(arguments)


def train(arguments: argparse.Namespace) -> int:
    from minigrad.kernels.registry import tuned_in_use
    from minigrad.train.run_folder import RunFolder, require_free

    from .model import require_model

    given = _normalised(given_config(arguments))
    if not arguments.out:
        raise ConfigError("--out must name a folder, and is empty")
    resuming = arguments.resume is not None
    if resuming:
        folder = RunFolder.find(arguments.out, _resumed_name(arguments))
        config, rounding = changed_for_resume(folder.read_config(), given)
        if rounding:
            print(f"note: with another {', '.join(map(flag, rounding))} the run goes on, but not bit for bit")
    else:
        config = TrainConfig(**given).completed()
        if arguments.name is not None:
            require_free(arguments.out, arguments.name)
    require_model(config.model, config.size)
    if config.workers:
        # Batches that nobody fetched any more are cleared away by Python, which makes words about it.
        os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
    config, dataset, model = _prepared(config)
    if resuming and not arguments.autotune:
        follow(folder.tuned)
    print(_headline(config, dataset, model), flush=True)
    if arguments.autotune:
        tune(config, dataset, model)
        if resuming:
            print("note: with newly tuned kernels the run goes on, but not bit for bit")
    tell_tuned(config.device)
    compile_kernels(config, dataset, model)
    if not resuming:
        stem = f"{config.model}-{Path(config.data).name}"
        folder = RunFolder.create(arguments.out, arguments.name, stem)
    try:
        training = _training(config, dataset, model, folder)
        if resuming:
            training.resume()
        folder.write_config(config)
        folder.write_tuned(tuned_in_use(config.device))
        print(_starting_line(training), flush=True)
        _report(training, training.run())
    finally:
        folder.unlock()
    return 0


def _normalised(given: dict[str, Any]) -> dict[str, Any]:
    """Options in the form in which a run remembers them, so that they can be compared."""
    from .data import normal_data, normal_folder
    from .machine import choose_device

    normal = {"data": normal_data, "data_dir": normal_folder, "device": choose_device}
    return {name: normal[name](value) if name in normal else value for name, value in given.items()}


def _resumed_name(arguments: argparse.Namespace) -> str | None:
    resumed, name = arguments.resume or None, arguments.name
    if resumed and name and resumed != name:
        raise ConfigError(f"--resume {resumed} and --name {name} name two runs")
    return resumed or name


def _prepared(config: TrainConfig) -> tuple[TrainConfig, ImageDataset, Module]:
    """The data and the model of a run, and its configuration with what they and this machine settle."""
    from minigrad import manual_seed, models
    from minigrad.train.precision import require_precision

    from .data import open_data
    from .machine import apply_settings, choose_device

    threads = apply_settings(config.kernels, config.threads)
    device = choose_device(config.device)
    require_precision(config.precision, device)
    dataset = open_data(config.data, config.data_dir, config.size)
    manual_seed(config.seed)
    model = models.build(config.model, num_classes=len(dataset.class_names))
    settled = replace(config, device=device, threads=threads, size=dataset.preparation.image_size)
    return settled, dataset, model


def _headline(config: TrainConfig, dataset: ImageDataset, model: Module) -> str:
    from .machine import where

    size = dataset.preparation.image_size
    return (
        f"{type(model).__name__} ({sum(p.size for p in model.parameters()):,} parameters) on {dataset.name}: "
        f"{len(dataset.train):,} training and {len(dataset.test):,} test images of {size}x{size}, "
        f"{len(dataset.class_names)} classes; {where(config.device, config.threads)}"
    )


def _training(config: TrainConfig, dataset: ImageDataset, model: Module, folder: Any) -> Training:
    from minigrad.train.loop import Training
    from minigrad.train.progress import Bar

    return Training(config, dataset, model, folder, config.device, Bar(config.epochs))


def _starting_line(training: Training) -> str:
    if training.epoch >= training.config.epochs:
        return f"run {training.folder.path} has finished its {training.config.epochs} epochs already"
    if training.epoch or training.batch:
        batches = len(training.train_loader)
        return (
            f"run {training.folder.path}: going on in epoch {training.epoch + 1} "
            f"after {training.batch} of {batches} batches"
        )
    return f"run {training.folder.path}"


def _report(training: Training, evaluation: Evaluation) -> None:
    """The last words of a run, and its pictures."""
    from minigrad.train.confusion import render_confusion
    from minigrad.train.plots import plot_confusion, plot_curves

    folder, names, tally = training.folder, training.dataset.class_names, evaluation.tally
    title = f"{training.config.model} on {training.dataset.name}"
    plot_curves(folder.curves, training.records, title)
    plot_confusion(
        folder.confusion,
        evaluation.confusion,
        names,
        f"{title}: {tally.right} of {tally.images} test images right",
    )
    print(f"\n{render_confusion(evaluation.confusion, names)}\n")
    print(
        f"test accuracy {tally.accuracy:.2%} ({tally.right} of {tally.images}); best {training.best_accuracy:.2%}"
    )
    print(
        f"{folder.path}: {', '.join(sorted(file.name for file in folder.path.iterdir() if file.name[0] != '.'))}"
    )
