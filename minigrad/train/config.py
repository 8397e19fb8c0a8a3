"""Everything that decides a training run, in one place: the options, their defaults and what they mean.

The command line is made from these fields, `config.json` holds them, and a resumed run is checked against them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields, replace
from typing import Any

from minigrad.kernels.errors import MinigradError

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
SCHEDULES = ("one-cycle", "cosine", "polynomial", "step", "constant")
AVERAGES = ("none", "ema", "polyak")
DEVICES = ("auto", "cpu", "cuda", "emulated")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")

# What an option that was left out becomes. A learning rate is meaningless without its optimiser.
OPTIMIZER_DEFAULTS: Mapping[str, Mapping[str, float]] = {
    "sgd": {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.0},
    "adam": {"lr": 1e-3, "weight_decay": 0.0},
    "adamw": {"lr": 1e-3, "weight_decay": 1e-2},
    "rmsprop": {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0},
}

# Schedules that do not ask how long the run will be: such a run may be made longer when it is resumed.
ENDLESS_SCHEDULES = ("step", "constant")
# What may differ when a run is resumed, because no number depends on it.
HARMLESS = frozenset({"data_dir", "workers", "checkpoint_every", "detect_anomaly", "graph"})
# What may differ too, but makes sums round in another order.
ROUNDING = frozenset({"device", "kernels", "threads"})


# How a person calls the kinds of values.
KINDS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class ConfigError(MinigradError, ValueError):
    """An option with a value that has no meaning, or that contradicts another."""


def option(default: Any, meaning: str, kind: type = str, choices: Sequence[str] = (), metavar: str = "") -> Any:
    """A field of the configuration, with what the command line says about it."""
    told = {"help": meaning, "kind": kind, "choices": tuple(choices), "metavar": metavar}
    return field(default=default, metadata=told)


@dataclass(frozen=True)
class TrainConfig:
    """The options of a run. None stands for "as fits": `completed` fills in what depends on the optimiser.

    Raises:
        ConfigError: a value out of its range; names the option.
    """

    data: str = option(
        "digits",
        "digits, mnist, fashion-mnist, cifar10, or a folder with train/CLASS/ and val/CLASS/",
        metavar="NAME|FOLDER",
    )
    data_dir: str | None = option(
        None, "the folder with the files of mnist, fashion-mnist or cifar10", metavar="FOLDER"
    )
    size: int | None = option(
        None, "height and width of the network's input in pixels (64; photographs 224)", int, metavar="PIXELS"
    )
    model: str = option("googlenet", "googlenet (torchvision's) or googlenet-paper", metavar="NAME")
    aux_weight: float = option(0.3, "how much the loss of each auxiliary classifier counts", float, metavar="X")
    epochs: int = option(6, "passes over the training images", int, metavar="N")
    batch_size: int = option(32, "images in a step", int, metavar="N")
    optimizer: str = option("sgd", "how weights follow gradients", choices=OPTIMIZERS)
    lr: float | None = option(
        None, "the highest learning rate (0.01 for sgd, 0.001 for the others)", float, metavar="X"
    )
    momentum: float | None = option(None, "of sgd (0.9) and rmsprop (0)", float, metavar="X")
    weight_decay: float | None = option(
        None, "times the weight, into its gradient (0; adamw 0.01)", float, metavar="X"
    )
    schedule: str = option("one-cycle", "how the learning rate changes, step by step", choices=SCHEDULES)
    warmup_epochs: float = option(
        0.0, "epochs in which the learning rate first grows along a line", float, metavar="X"
    )
    decay_every: int = option(8, "schedule step: epochs between two cuts of the learning rate", int, metavar="N")
    decay_factor: float = option(
        0.96, "schedule step: what a cut multiplies the learning rate by", float, metavar="X"
    )
    decay_power: float = option(0.5, "schedule polynomial: its exponent", float, metavar="X")
    label_smoothing: float = option(
        0.0, "the share of each label that is spread over all classes", float, metavar="X"
    )
    clip_norm: float | None = option(None, "cut the gradients' norm down to this", float, metavar="X")
    average: str = option("none", "evaluate and keep an average of the weights", choices=AVERAGES)
    average_decay: float = option(0.99, "average ema: how much of it each step keeps", float, metavar="X")
    seed: int = option(0, "of the weights, the order of the images, their changes and dropout", int, metavar="N")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option(
        "float32",
        "of products and activations, on a GPU; weights, statistics and losses stay float32",
        choices=PRECISIONS,
    )
    kernels: str = option("", "kernel variants, such as conv2d=winograd|auto,concat=reference", metavar="SPEC")
    threads: int | None = option(None, "of the CPU kernels (all cores)", int, metavar="N")
    workers: int = option(0, "processes that prepare images, beside a thread", int, metavar="N")
    checkpoint_every: int = option(
        0, "steps between checkpoints inside an epoch (0: none inside)", int, metavar="N"
    )
    graph: bool = option(True, "launch a training step as one CUDA graph, on a CPU as one plan", bool)
    detect_anomaly: bool = option(False, "look for values that are not finite in every operation (slow)", bool)

    def __post_init__(self) -> None:
        for item in fields(self):
            _require_kind(item, getattr(self, item.name))
        for name, least in (
            ("size", 1),
            ("epochs", 1),
            ("batch_size", 1),
            ("decay_every", 1),
            ("seed", 0),
            ("threads", 1),
            ("workers", 0),
            ("checkpoint_every", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{flag(name)} must be at least {least}, not {value}")
        if self.seed >= 2**64:
            raise ConfigError(f"--seed must be less than 2**64, not {self.seed}")
        for name in ("lr", "decay_factor", "clip_norm"):
            _require(self, name, lambda x: 0 < x < math.inf, "must be a positive number")
        for name in ("aux_weight", "weight_decay", "warmup_epochs", "decay_power"):
            _require(self, name, lambda x: 0 <= x < math.inf, "must be 0 or a positive number")
        for name in ("momentum", "label_smoothing", "average_decay"):
            _require(self, name, lambda x: 0 <= x < 1, "must be at least 0 and less than 1")
        for item in fields(self):
            choices, value = item.metadata["choices"], getattr(self, item.name)
            if choices and value not in choices:
                raise ConfigError(f"{flag(item.name)} must be one of {', '.join(choices)}, not {value!r}")
        if self.warmup_epochs >= self.epochs:
            raise ConfigError(
                f"--warmup-epochs {self.warmup_epochs:g} leaves nothing of the {self.epochs} epochs of --epochs"
            )
        if self.momentum and "momentum" not in OPTIMIZER_DEFAULTS[self.optimizer]:
            raise ConfigError(f"--momentum {self.momentum} has no meaning for --optimizer {self.optimizer}")

    def completed(self) -> TrainConfig:
        """This configuration with the optimiser's own defaults in place of None."""
        defaults = OPTIMIZER_DEFAULTS[self.optimizer]
        missing: dict[str, Any] = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return replace(self, **missing)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any, source: str) -> TrainConfig:
        """The inverse of `to_json`.

        Raises:
            ConfigError: fields are missing, unknown, or of values that have no meaning; names `source`.
        """
        names = {item.name for item in fields(cls)}
        if not isinstance(values, Mapping):
            raise ConfigError(f"{source} does not hold a configuration")
        if set(values) != names:
            odd = ", ".join(sorted(set(values) ^ names))
            raise ConfigError(
                f"{source} is the configuration of another version of minigrad; it differs in: {odd}"
            )
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None


def flag(name: str) -> str:
    """The option of the command line that sets the field `name`."""
    return "--" + name.replace("_", "-")


def free_options(config: TrainConfig) -> frozenset[str]:
    """The fields that may differ when a run of `config` is resumed."""
    endless = {"epochs"} if config.schedule in ENDLESS_SCHEDULES else set()
    return HARMLESS | ROUNDING | endless


def binding_options(config: TrainConfig) -> dict[str, Any]:
    """The fields, as plain values, that a resumed run must share with the run it continues."""
    free = free_options(config)
    return {name: value for name, value in config.to_json().items() if name not in free}


def changed_for_resume(saved: TrainConfig, given: Mapping[str, Any]) -> tuple[TrainConfig, list[str]]:
    """The configuration of a resumed run: what was saved, and what was given that may change.

    Args:
        saved: the configuration of the run.
        given: the options that a person stated, by field name.

    Returns:
        The configuration, and the options whose change ends the equality bit for bit.

    Raises:
        ConfigError: names every option that contradicts the run.
    """
    changed = {name: value for name, value in given.items() if value != getattr(saved, name)}
    refused = [name for name in changed if name not in free_options(saved)]
    if refused:
        contradictions = "; ".join(
            f"{flag(name)} {changed[name]} (the run has {getattr(saved, name)})" for name in refused
        )
        raise ConfigError(f"a resumed run keeps its options, and these differ: {contradictions}; start a new run")
    return replace(saved, **changed), sorted(changed.keys() & ROUNDING)


def _require_kind(item: Field[Any], value: Any) -> None:
    """Raise ConfigError where `value` is not of the kind that the field `item` holds."""
    if value is None and item.default is None:
        return
    kind = item.metadata["kind"]
    known = isinstance(value, int | float if kind is float else kind)
    if not known or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{flag(item.name)} must be {KINDS[kind]}, not {value!r}")


def _require(config: TrainConfig, name: str, holds: Any, rule: str) -> None:
    value = getattr(config, name)
    if value is not None and not holds(value):
        raise ConfigError(f"{flag(name)} {rule}, not {value}")
