"""From the options of a run to the optimiser, the schedule and the average that they name."""

from __future__ import annotations

from collections.abc import Iterable

from minigrad.nn import Module, Parameter
from minigrad.optim import (
    SGD,
    Adam,
    AdamW,
    Constant,
    CosineAnnealing,
    ExponentialMovingAverage,
    LinearWarmUp,
    OneCycle,
    Optimizer,
    PolyakAverage,
    PolynomialDecay,
    RMSprop,
    Schedule,
    StepDecay,
    WeightAverage,
)

from .config import TrainConfig


def make_optimizer(config: TrainConfig, parameters: Iterable[Parameter]) -> Optimizer:
    """The optimiser of a completed `config` (see `TrainConfig.completed`) for `parameters`."""
    lr, decay = config.lr or 0.0, config.weight_decay or 0.0
    if config.optimizer == "sgd":
        return SGD(parameters, lr=lr, momentum=config.momentum or 0.0, weight_decay=decay)
    if config.optimizer == "rmsprop":
        return RMSprop(parameters, lr=lr, momentum=config.momentum or 0.0, weight_decay=decay)
    kind = {"adam": Adam, "adamw": AdamW}[config.optimizer]
    return kind(parameters, lr=lr, weight_decay=decay)


def make_schedule(config: TrainConfig, steps_per_epoch: int) -> Schedule:
    """The factor of the learning rate at each step (batch) of the run, counted from 0."""
    warm_up = round(config.warmup_epochs * steps_per_epoch)
    steps = max(1, config.epochs * steps_per_epoch - warm_up)
    schedule: Schedule
    match config.schedule:
        case "one-cycle":
            schedule = OneCycle(steps)
        case "cosine":
            schedule = CosineAnnealing(steps)
        case "polynomial":
            schedule = PolynomialDecay(steps, config.decay_power)
        case "step":
            schedule = StepDecay(config.decay_every * steps_per_epoch, config.decay_factor)
        case _:
            schedule = Constant()
    return LinearWarmUp(warm_up, then=schedule) if warm_up else schedule


def make_average(config: TrainConfig, model: Module) -> WeightAverage | None:
    """The average of the model's weights that is evaluated and kept in place of the last ones, if any."""
    if config.average == "ema":
        return ExponentialMovingAverage(model, config.average_decay)
    return PolyakAverage(model) if config.average == "polyak" else None
