"""Rows as text for people, a block a layer."""

from __future__ import annotations

from collections.abc import Sequence

from minigrad.inspect.table import as_text

from .roofline import Ceilings
from .rows import Row

TIMED = (
    "variant", "max error", "norm error", "of tolerance", "median ms", "p20 - p80", "GFLOP/s", "GB/s",
    "of roofline", "over reference", "over PyTorch", "",
)  # fmt: skip
UNTIMED = ("variant", "max error", "norm error", "of tolerance", "MFLOP", "MB", "launches")


def layer_block(rows: Sequence[Row]) -> str:
    """The rows of one layer under its name; what is wrong or refuses, in words below."""
    first = rows[0]
    timed = any(row.median_ms is not None for row in rows)
    compared = [row for row in rows if row.norm_error is not None or row.median_ms is not None]
    lines = [f"{first.operation}  {first.layer}"]
    if compared:
        header = TIMED if timed else UNTIMED if first.work or first.bytes_moved else UNTIMED[:4]
        cells = [(_timed(row) if timed else _untimed(row))[: len(header)] for row in compared]
        lines += [f"  {line}" for line in as_text(header, cells).splitlines()]
    for row in rows:
        if row.verdict == "wrong":
            lines.append(f"  {row.variant}  WRONG: {row.reason}")
        elif row.reason:
            lines.append(f"  {row.variant}  {row.verdict}: {row.reason}")
    return "\n".join(lines)


def _timed(row: Row) -> tuple[str, ...]:
    span = "" if row.p20_ms is None or row.p80_ms is None else f"{_ms(row.p20_ms)} - {_ms(row.p80_ms)}"
    roofline = "" if row.roofline is None else f"{row.roofline:.0%} {row.side}"
    return (
        *_errors(row),
        "" if row.median_ms is None else _ms(row.median_ms),
        span,
        _rate(row.gflops),
        _rate(row.gigabytes),
        roofline,
        _times(row.over_reference),
        _times(row.over_pytorch),
        row.standing,
    )


def _untimed(row: Row) -> tuple[str, ...]:
    launches = "; ".join(row.launches)
    return (*_errors(row), f"{1e-6 * row.work:.2f}", f"{1e-6 * row.bytes_moved:.2f}", launches)


def _errors(row: Row) -> tuple[str, str, str, str]:
    if row.norm_error is None or row.largest_error is None or row.tolerance_used is None:
        return row.variant, "", "", ""
    return row.variant, f"{row.largest_error:.1e}", f"{row.norm_error:.1e}", f"{row.tolerance_used:.1%}"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.3f}" if milliseconds < 100 else f"{milliseconds:.1f}"


def _rate(billions: float | None) -> str:
    return "" if billions is None else f"{billions:.0f}" if billions >= 10 else f"{billions:.2g}"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}x"


def heading(device: str, dtype: str, threads: int, cache: str, ceilings: Ceilings | None, seed: int) -> str:
    """Where and how the rows below are measured."""
    if ceilings is None:
        return (
            f"on {device}, {dtype}, seed {seed}: correctness and operation counts; the emulator tells nothing of "
            "the time that a GPU takes, so there are no times"
        )
    return (
        f"on {device}, {dtype}, {threads} threads, {cache} cache, seed {seed}; measured ceilings of this machine: "
        f"{1e-9 * ceilings.bandwidth:.1f} GB/s (copy), {1e-9 * ceilings.peak:.0f} GFLOP/s (matrix product)"
    )
