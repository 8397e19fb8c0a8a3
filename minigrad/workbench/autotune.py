"""The fastest variant of each problem, from rows that were measured, kept for this machine.

A variant has to be right to be chosen, and faster than the default by more than the noise: where the intervals of
the two overlap, the default stays. See `minigrad.kernels.tuned` for the file, and who reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from minigrad.kernels.cpu.cache import alone
from minigrad.kernels.errors import MinigradError
from minigrad.kernels.registry import OPERATIONS, UNTUNED, tuned, use_kernels, use_tuned
from minigrad.kernels.tuned import Choice, load, merged, without_own
from minigrad.train.atomic_file import write_atomically

from .contracts import CONTRACTS
from .layers import Layer
from .rows import Row
from .session import REFERENCE


def default_variant(layer: Layer, device: str) -> str:
    """The variant that runs a layer where nobody measured anything."""
    with use_kernels(UNTUNED):
        return OPERATIONS[layer.operation].select(layer.problem, device).name


def best(rows: Sequence[Row], layer: Layer, threads: int) -> Choice | None:
    """What the rows of a layer speak for; None where none of them has a time."""
    variants = OPERATIONS[layer.operation].variants
    timed = {
        row.variant: row
        for row in rows
        if row.verdict == "right" and row.median_ms is not None and variants[row.variant].rank(layer.problem) >= 0
    }
    if not timed:
        return None
    device, default = rows[0].device, default_variant(layer, rows[0].device)
    winner = min(timed.values(), key=lambda row: row.median_ms or 0)
    own = timed.get(default)
    gain = 1.0
    if own is not None and (own.p20_ms or 0) <= (winner.p80_ms or 0):  # equal within the noise
        winner = own
    elif own is not None and own.median_ms and winner.median_ms:
        gain = own.median_ms / winner.median_ms
    identity = variants[winner.variant].identity
    counted = threads if device == "cpu" else 0
    return Choice(device, layer.operation, str(layer.problem), counted, identity, default, round(gain, 3))


class Tuner:
    """Picks and keeps the best variant of each layer as its rows come in.

    Args:
        layers: what is measured; choices are kept of those whose operations are `tunable`.
        threads: of the CPU kernels.
        path: the file that keeps the choices; written after each layer, so that an interrupted run loses nothing.

    Attributes:
        choices: those made so far.
    """

    def __init__(self, layers: Iterable[Layer], threads: int, path: Path) -> None:
        self.threads, self.path = threads, path
        self.choices: list[Choice] = []
        self._layers = {
            (layer.operation, str(layer.problem)): layer for layer in layers if CONTRACTS[layer.operation].tunable
        }

    def note(self, rows: Sequence[Row]) -> None:
        """Take in the rows of one layer; those of odd shapes say nothing about speed.

        Raises:
            MinigradError: if the file cannot be written.
        """
        layer = self._layers.get((rows[0].operation, rows[0].problem))
        choice = None if layer is None else best(rows, layer, self.threads)
        if choice is not None:
            keep([choice], self.path)
            self.choices.append(choice)

    def summary(self) -> str:
        """What came of it, in a line."""
        changed = [choice for choice in self.choices if choice.variant != choice.default]
        most = f", up to {max(choice.gain for choice in changed):.2f} times as fast" if changed else ""
        return (
            f"tuned {len(self.choices)} problems: another variant than the default for {len(changed)}{most}; "
            f"kept in {self.path}"
        )


def contested(layers: Iterable[Layer], device: str) -> dict[Layer, list[str]]:
    """The layers that several variants can run, not counting the slow `reference`, with these variants."""
    able = {
        layer: [
            v.name
            for v in OPERATIONS[layer.operation].able(layer.problem, device)
            if v.name != REFERENCE and v.rank(layer.problem) >= 0
        ]
        for layer in layers
    }
    return {layer: names for layer, names in able.items() if len(names) > 1}


def untuned_layers(layers: Iterable[Layer], device: str, threads: int) -> list[Layer]:
    """The layers of which nothing is known yet on this machine."""
    known = tuned()
    return [layer for layer in layers if known.variant(device, layer.operation, layer.problem, threads) is None]


def keep(choices: Iterable[Choice], path: Path) -> None:
    """Add choices to a file, whatever else is in it, and let this program follow it from now on.

    Raises:
        MinigradError: if the file cannot be written.
    """
    with alone(path):
        write_atomically(path, merged(_text(path), choices).encode())
    use_tuned(load(path))


def forget(path: Path) -> int:
    """Remove the choices of this machine from a file; how many there were.

    Raises:
        MinigradError: if the file cannot be written.
    """
    count = len(load(path).choices)
    with alone(path):
        rest = without_own(_text(path))
        if rest is not None:
            write_atomically(path, rest.encode())
        else:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise MinigradError(f"cannot delete {path}: {error.strerror}") from error
    use_tuned(None)
    return count


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return None
