"""Rows as tables for people, a block a layer, as wide as the terminal is; in a file as wide as they are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .roofline import Ceilings
from .rows import Row

ENDLESS = 4000  # characters of a line in a file
INDENT, GAP = 2, 2  # blanks before a table and between its columns


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        cell: its text for a row.
        spare: where a terminal is too narrow, the column with the largest number is left out first; 0: never.
        folded: how wide it is there, where longer text goes on in the next line; 0: as wide as its text.
    """

    header: str
    cell: Callable[[Row], str]
    spare: int = 0
    folded: int = 0

    def width(self, rows: Sequence[Row], narrow: bool) -> int:
        """That of its longest text; if `narrow`, each word of its header has a line of its own."""
        longest = max(len(self.cell(row)) for row in rows)
        header = max(map(len, self.header.split()), default=0) if narrow else len(self.header)
        return max(min(longest, self.folded) if narrow and self.folded else longest, header)


def page(file: Any = None) -> Console:
    """Where tables are written to, standard output by default: colours, and a width, only if it is a terminal."""
    file = sys.stdout if file is None else file
    on_terminal = bool(getattr(file, "isatty", lambda: False)())
    plain: dict[str, Any] = {} if on_terminal else {"width": ENDLESS, "color_system": None}
    return Console(file=file, force_terminal=on_terminal, highlight=False, markup=False, emoji=False, **plain)


def as_text(console: Console, *renderables: RenderableType) -> str:
    """What the console would show, without blanks at the ends of lines."""
    with console.capture() as captured:
        console.print(Group(*renderables))
    return "\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n"))


def layer_block(rows: Sequence[Row], console: Console) -> str:
    """The rows of one layer under its name; what is wrong or refuses, in words below."""
    first = rows[0]
    compared = [row for row in rows if row.norm_error is not None or row.median_ms is not None]
    parts: list[RenderableType] = [Text(f"{first.operation}  {first.layer}", style="bold")]
    if compared:
        parts.append(Padding(_fitting(_columns(rows), compared, console), (0, 0, 0, INDENT)))
    for row in rows:
        if row.verdict == "wrong":
            words = Text.assemble((f"{row.variant}  WRONG", "bold red"), f": {row.reason}")
        elif row.reason:
            words = Text(f"{row.variant}  {row.verdict}: {row.reason}", style="dim")
        else:
            continue
        parts.append(Padding(words, (0, 0, 0, INDENT)))
    return as_text(console, *parts)


def _columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    if any(row.median_ms is not None for row in rows):
        return (*ERRORS, *TIMES)
    if not (rows[0].work or rows[0].bytes_moved):
        return ERRORS
    return (*ERRORS, *WORK, *(COUNTS if any(row.counts for row in rows) else ()), *LAUNCHES)


def _fitting(columns: Sequence[Column], rows: Sequence[Row], console: Console) -> Table:
    """The table with as many columns as there is room for; the names of variants are cut short last."""
    columns, room = list(columns), console.width - INDENT
    narrow = _width(columns, rows, narrow=False) > room
    while _width(columns, rows, narrow) > room and any(column.spare for column in columns):
        columns.remove(max(columns, key=lambda column: column.spare))
    missing = max(0, _width(columns, rows, narrow) - room)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        width = max(1, column.width(rows, narrow) - (0 if number else missing))
        justify: Any = "right" if number and not column.folded else "left"
        vertical: Any = "top" if any(other.folded for other in columns) else "bottom"
        table.add_column(column.header, justify=justify, width=width, vertical=vertical, overflow="ellipsis")
    for row in rows:
        style = "green" if row.standing == "fastest" else "dim" if row.verdict == "yardstick" else ""
        table.add_row(*(Text(column.cell(row), no_wrap=not column.folded) for column in columns), style=style)
    return table


def _width(columns: Sequence[Column], rows: Sequence[Row], narrow: bool) -> int:
    return sum(column.width(rows, narrow) for column in columns) + GAP * (len(columns) - 1)


def _or_nothing(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _span(row: Row) -> str:
    return "" if row.p20_ms is None or row.p80_ms is None else f"{_ms(row.p20_ms)} - {_ms(row.p80_ms)}"


def _roofline(row: Row) -> str:
    return "" if row.roofline is None else f"{row.roofline:.0%} {row.side}"


def _ms(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds:.3f}" if milliseconds < 100 else f"{milliseconds:.1f}"


def _rate(billions: float | None) -> str:
    return "" if billions is None else f"{billions:.0f}" if billions >= 10 else f"{billions:.2g}"


def _millions(row: Row, *names: str) -> str:
    return f"{1e-6 * sum(row.counts[name] for name in names):.2f}" if row.counts else ""


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}x"


ERRORS = (
    Column("variant", lambda row: row.variant),
    Column("max error", lambda row: _or_nothing(row.largest_error, ".1e"), 7),
    Column("norm error", lambda row: _or_nothing(row.norm_error, ".1e"), 4),
    Column("of tolerance", lambda row: _or_nothing(row.tolerance_used, ".1%"), 3),
)
TIMES = (
    Column("median ms", lambda row: _ms(row.median_ms)),
    Column("p20 - p80", _span, 1),
    Column("GFLOP/s", lambda row: _rate(row.gflops), 5),
    Column("GB/s", lambda row: _rate(row.gigabytes), 6),
    Column("of roofline", _roofline),
    Column("over reference", lambda row: _times(row.over_reference), 2),
    Column("over PyTorch", lambda row: _times(row.over_pytorch)),
    Column("", lambda row: row.standing),
)
WORK = (
    Column("MFLOP", lambda row: f"{1e-6 * row.work:.2f}"),
    Column("MB", lambda row: f"{1e-6 * row.bytes_moved:.2f}"),
)
COUNTS = (  # see kernels/cuda/counts.py
    Column("MB loaded", lambda row: _millions(row, "bytes_loaded")),
    Column("stored", lambda row: _millions(row, "bytes_stored"), 2),
    Column("shared", lambda row: _millions(row, "shared_bytes_loaded", "shared_bytes_stored"), 1),
    Column("barriers", lambda row: str(row.counts.get("barriers", "")), 5),
    Column("atomics", lambda row: str(row.counts.get("atomics", "")), 6),
    Column("tensor MFLOP", lambda row: _millions(row, "tensor_operations"), 4),
)
LAUNCHES = (Column("launches", lambda row: "; ".join(row.launches), 0, 32),)


def heading(device: str, dtype: str, threads: int, cache: str, ceilings: Ceilings | None, seed: int) -> str:
    """Where and how the rows below are measured."""
    if ceilings is None:
        return (
            f"on {device}, {dtype}, seed {seed}: correctness and operation counts; the emulator tells nothing of "
            "the time that a GPU takes, so there are no times; MB and MFLOP are "
            "the definition's, MB loaded, stored and shared what threads ask for, tensor MFLOP what mma does"
        )
    return (
        f"on {device}, {dtype}, {threads} threads, {cache} cache, seed {seed}; measured ceilings of this machine: "
        f"{1e-9 * ceilings.bandwidth:.1f} GB/s (memory), {1e-9 * ceilings.peak:.0f} GFLOP/s (matrix product)"
    )
