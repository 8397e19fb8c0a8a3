"""minigrad predict: what a checkpoint takes images for."""

from __future__ import annotations

import argparse
from typing import Any

from minigrad.train.config import ConfigError

from .arguments import add_debug, add_machine


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "predict", help="classify images", description="The most probable classes of images, by a checkpoint."
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file of weights, or a run's folder")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="files of pictures, of any size")
    parser.add_argument("--top", type=int, default=5, metavar="K", help="classes to show (default: 5)")
    add_machine(parser)
    add_debug(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from minigrad.data import read_image
    from minigrad.train.prediction import load_trained

    from .machine import apply_settings, choose_device, where

    if arguments.top < 1:
        raise ConfigError(f"--top must be at least 1, not {arguments.top}")
    threads = apply_settings(arguments.kernels, arguments.threads)
    trained = load_trained(arguments.checkpoint, choose_device(arguments.device))
    print(
        f"{type(trained.model).__name__} of {trained.path}: {len(trained.class_names)} classes; "
        f"{where(trained.device, threads)}",
        flush=True,
    )
    for path in arguments.images:
        probabilities = trained.probabilities(read_image(path))
        print(path)
        for index in (-probabilities).argsort(kind="stable")[: arguments.top]:
            print(f"  {probabilities[index]:7.2%}  {trained.class_names[index]}")
    return 0
