"""minigrad summary: the paper's Table 1 for a model."""

from __future__ import annotations

import argparse
from typing import Any

from minigrad.train.config import ConfigError, TrainConfig

from .arguments import add_debug


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "summary",
        help="a model's layers, parameters and operations",
        description="Table 1 of Szegedy et al., 'Going deeper with convolutions', for a model.",
    )
    parser.add_argument(
        "--model",
        default=TrainConfig.model,
        metavar="NAME",
        help="googlenet or googlenet-paper (default: googlenet)",
    )
    parser.add_argument("--num-classes", type=int, default=1000, metavar="N", help="classes (default: 1000)")
    parser.add_argument("--size", type=int, default=224, metavar="PIXELS", help="of the input (default: 224)")
    parser.add_argument("--aux", action="store_true", help="with the auxiliary classifiers")
    add_debug(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from minigrad import models

    from .model import require_model

    for name in ("num_classes", "size"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(arguments, name)}")
    require_model(arguments.model, arguments.size)
    model = models.build(arguments.model, num_classes=arguments.num_classes, init_weights=False)
    print(models.summary(model, size=arguments.size, aux=arguments.aux))
    return 0
