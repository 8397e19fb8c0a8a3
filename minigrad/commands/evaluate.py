"""minigrad eval: how well a checkpoint reads the test images."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

from minigrad.kernels.errors import MinigradError
from minigrad.train.config import ConfigError, TrainConfig

from .arguments import add_debug, add_machine


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "eval",
        help="test a checkpoint",
        description="Loss, accuracy and confusion matrix of a checkpoint on the test images.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file of weights, or a run's folder")
    parser.add_argument("--data", metavar="NAME|FOLDER", help="other data of the same classes")
    parser.add_argument("--data-dir", metavar="FOLDER", help="where the data's files are now")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=TrainConfig.batch_size,
        metavar="N",
        help="images at a time (default: 32)",
    )
    add_machine(parser)
    add_debug(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from minigrad.data import Loader
    from minigrad.train.confusion import render_confusion
    from minigrad.train.evaluation import evaluate
    from minigrad.train.prediction import load_trained

    from .data import normal_data, open_data
    from .machine import apply_settings, choose_device, where

    if arguments.batch_size < 1:
        raise ConfigError(f"--batch-size must be at least 1, not {arguments.batch_size}")
    threads = apply_settings(arguments.kernels, arguments.threads)
    trained = load_trained(arguments.checkpoint, choose_device(arguments.device))
    if arguments.data is None:
        data, folder = trained.data["name"], arguments.data_dir or trained.data["folder"]
    else:
        data, folder = arguments.data, arguments.data_dir
    dataset = open_data(normal_data(data), folder, trained.preparation.image_size)
    if dataset.class_names != trained.class_names:
        raise MinigradError(
            f"checkpoint {trained.path} tells {_listed(trained.class_names)} apart, "
            f"data set {data} has {_listed(dataset.class_names)}"
        )
    # What the model was trained on decides how images are prepared, not what it is tested on.
    dataset = replace(dataset, preparation=trained.preparation)
    size = dataset.preparation.image_size
    print(
        f"{type(trained.model).__name__} of {trained.path}: {len(dataset.test):,} test images of {size}x{size}, "
        f"{len(dataset.class_names)} classes; {where(trained.device, threads)}",
        flush=True,
    )
    started = time.perf_counter()
    evaluation = evaluate(
        trained.model, Loader(dataset, training=False, batch_size=arguments.batch_size), trained.device
    )
    seconds, tally = time.perf_counter() - started, evaluation.tally
    print(
        f"test loss {tally.mean_loss:.4f}  accuracy {tally.accuracy:.2%} ({tally.right} of {tally.images})"
        f"  |  {tally.images / seconds:.0f} images/s\n"
    )
    print(render_confusion(evaluation.confusion, dataset.class_names))
    return 0


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return f"{len(names)} classes ({shown}{', ...' if len(names) > 5 else ''})"
