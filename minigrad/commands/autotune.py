"""Timing the kernels on a network's own layers before it is trained, and telling of what was measured."""

from __future__ import annotations

import math
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from minigrad.train.config import ConfigError

from .machine import tell_trouble

if TYPE_CHECKING:
    from minigrad.data import ImageDataset
    from minigrad.nn import Module
    from minigrad.train.config import TrainConfig

SECONDS = 0.02  # for which each variant of each layer is timed
HOPELESS = 3.0  # times as long as the fastest: not timed further


def tune(config: TrainConfig, dataset: ImageDataset, model: Module) -> None:
    """Measure the fast variants on the layers of `model` that nothing is known of, and keep the fastest.

    Raises:
        ConfigError: on the emulator, where nothing can be timed.
        MinigradError: if the choices cannot be kept.
    """
    from tqdm import tqdm

    from minigrad.kernels.registry import default_path, use_tuned
    from minigrad.workbench.autotune import Tuner, contested, untuned_layers
    from minigrad.workbench.layers import layers_of
    from minigrad.workbench.roofline import Ceilings
    from minigrad.workbench.session import Session
    from minigrad.workbench.settings import Settings

    if config.device == "emulated":
        raise ConfigError("--autotune needs times, and on --device emulated there are none")
    assert config.threads is not None
    use_tuned(None)
    batch = min(config.batch_size, len(dataset.train))
    dtype = config.precision if config.precision in ("float16", "bfloat16") else "float32"
    found = contested(layers_of(model, batch, dataset.preparation.image_size, dtype), config.device)
    layers = untuned_layers(found, config.device, config.threads)
    variants = tuple(dict.fromkeys(name for layer in layers for name in found[layer]))
    tuner = Tuner(layers, config.threads, default_path())
    settings = Settings(
        config.device, dtype, variants, SECONDS, seed=secrets.randbits(32), with_pytorch=False, hopeless=HOPELESS
    )
    done = f" (the other {len(found) - len(layers)} are tuned)" if len(layers) < len(found) else ""
    print(f"timing the kernels on {len(layers)} problems{done}", flush=True)
    wrong = set()
    hidden = not sys.stderr.isatty()
    with tqdm(total=len(layers), unit="problem", file=sys.stderr, leave=False, disable=hidden) as bar:
        # Nothing is compared with the roofline: any ceilings do.
        session = Session(settings, Ceilings(math.inf, math.inf), bar.set_postfix_str)
        for name in dict.fromkeys(layer.operation for layer in layers):
            for rows in session.measure([layer for layer in layers if layer.operation == name]):
                bar.update(bool(rows[0].paths))
                tuner.note(rows)
                wrong |= {f"{row.operation}={row.variant}" for row in rows if row.verdict == "wrong"}
    if wrong:
        print(f"minigrad: wrong, and not used: {', '.join(sorted(wrong))}", file=sys.stderr, flush=True)
    print(tuner.summary(), flush=True)


def follow(path: Path) -> None:
    """Go by the choices that a run was begun with, not by what was measured since."""
    from minigrad.kernels.registry import use_tuned
    from minigrad.kernels.tuned import load

    found = load(path)
    use_tuned(found)
    tell_trouble(found)


def tell_tuned(device: str) -> None:
    """Say how many choices are by measurement, if any are."""
    from minigrad.kernels.registry import tuned, tuned_in_use

    choices = tuned_in_use(device)
    if choices:
        changed = sum(choice.variant != choice.default for choice in choices)
        print(
            f"kernels tuned for {len(choices)} problems, {changed} of them another variant than the default "
            f"({tuned().origin}; --kernels untuned goes without)",
            flush=True,
        )
