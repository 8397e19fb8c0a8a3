"""Two runs of the bench, row by row: what became faster, what slower, what is the same within the noise."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from minigrad.kernels.errors import MinigradError

from .rows import Report, Row
from .table import as_text

THRESHOLD = 0.05  # of the median; two runs on one machine differ by more than the rounds of one run do


@dataclass(frozen=True)
class Comparison:
    """One row of both runs; `word` is SAME, FASTER, SLOWER, WRONG (it was right) or RIGHT (it was wrong)."""

    old: Row
    new: Row
    word: str

    @property
    def is_regression(self) -> bool:
        return self.word in ("SLOWER", "WRONG")


def compare(old: Report, new: Report, threshold: float = THRESHOLD) -> list[Comparison]:
    """Every row of a variant that both runs have.

    A row is FASTER or SLOWER where the intervals from p20 to p80 have nothing in common, and the medians differ by
    more than `threshold` of the old one.

    Raises:
        MinigradError: if the runs have no row in common.
    """
    before = {row.key: row for row in old.rows}
    found = [
        Comparison(before[row.key], row, _word(before[row.key], row, threshold))
        for row in new.rows
        if row.key in before
        and row.verdict != "yardstick"
        and {row.verdict, before[row.key].verdict} != {"refuses"}
    ]
    if not found:
        raise MinigradError("the two files have no row in common: other operations, shapes, variants or devices")
    return found


def only_in(one: Report, other: Report) -> int:
    """How many rows of one run, PyTorch's aside, the other does not have."""
    return len({row.key for row in one.rows if row.verdict != "yardstick"} - {row.key for row in other.rows})


def _word(old: Row, new: Row, threshold: float) -> str:
    if "wrong" in (old.verdict, new.verdict):
        return "SAME" if old.verdict == new.verdict else "WRONG" if new.verdict == "wrong" else "RIGHT"
    if old.median_ms is None or new.median_ms is None:
        return "SAME"
    assert old.p20_ms and old.p80_ms and new.p20_ms and new.p80_ms
    ratio = new.median_ms / old.median_ms
    if ratio > 1 + threshold and new.p20_ms > old.p80_ms:
        return "SLOWER"
    return "FASTER" if ratio < 1 - threshold and new.p80_ms < old.p20_ms else "SAME"


NARROW, LEAST_LAYER, LEAST_VARIANT = 110, 24, 13  # characters: of a narrow terminal, and of columns there
COLOURS = {"SLOWER": "bold red", "WRONG": "bold red", "FASTER": "green", "RIGHT": "green"}


def summary(comparisons: list[Comparison], console: Console) -> str:
    """The comparisons as a table, and how many there are of each kind."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("layer", min_width=LEAST_LAYER)
    table.add_column("variant", no_wrap=True, max_width=LEAST_VARIANT if console.width < NARROW else None)
    for header in ("old ms", "new ms", "new / old", ""):
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    for c in comparisons:
        table.add_row(
            f"{c.new.operation}  {c.new.layer}",
            c.new.variant,
            "" if c.old.median_ms is None else f"{c.old.median_ms:.3f}",
            "" if c.new.median_ms is None else f"{c.new.median_ms:.3f}",
            "" if not c.old.median_ms or not c.new.median_ms else f"{c.new.median_ms / c.old.median_ms:.2f}",
            Text(c.word, style=COLOURS.get(c.word, "")),
        )
    words = [c.word for c in comparisons]
    return as_text(console, table, ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words))))


def differences(old: Report, new: Report) -> list[str]:
    """What was not the same when the two were measured."""
    names = ("processor", "gpu", "threads")
    return [
        f"{name}: {old.environment.get(name)} | {new.environment.get(name)}"
        for name in names
        if old.environment.get(name) != new.environment.get(name)
    ]
