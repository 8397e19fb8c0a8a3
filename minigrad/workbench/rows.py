"""What was measured: a row for each layer and variant, and the file that keeps them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigrad.kernels.errors import MinigradError
from minigrad.train.atomic_file import write_atomically

if TYPE_CHECKING:
    from .check import Errors

FORMAT = "minigrad bench 1"


@dataclass(frozen=True)
class Row:
    """One variant on one problem.

    Attributes:
        operation, layer, problem: the problem's operation, its name for people, and itself, to be replayed by
            `--problem`.
        paths: the modules of the model that have this problem.
        variant, device, dtype, cache: what ran, where, in what, from a "cold" or a "warm" cache.
        verdict: "right", "wrong", "refuses" or, where nothing was compared (PyTorch), "yardstick".
        reason: why it is wrong or refuses, or why it was not timed; of PyTorch, why it cannot.
        largest_error, norm_error, tolerance_used: see `workbench.check.Errors`.
        median_ms, p20_ms, p80_ms, rounds: milliseconds of one call, and how often it was timed.
        work, bytes_moved: of the definition; see `workbench.contracts`.
        roofline, side: the share of the roofline reached, and which ceiling is the lower one.
        over_reference, over_pytorch: how many times faster than they are.
        standing: "fastest", "equal" to it within the noise, or "".
        launches: CUDA kernels launched in a call, with their grids and blocks; counted in the emulator.
        counts: what these launches do, by the names of `minigrad.kernels.cuda.counts.Counts`; empty where nothing
            was launched.
    """

    operation: str
    layer: str
    problem: str
    paths: tuple[str, ...]
    variant: str
    device: str
    dtype: str
    cache: str = "cold"
    verdict: str = "right"
    reason: str = ""
    largest_error: float | None = None
    norm_error: float | None = None
    tolerance_used: float | None = None
    median_ms: float | None = None
    p20_ms: float | None = None
    p80_ms: float | None = None
    rounds: int = 0
    work: int = 0
    bytes_moved: int = 0
    roofline: float | None = None
    side: str = ""
    over_reference: float | None = None
    over_pytorch: float | None = None
    standing: str = ""
    launches: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, ...]:
        """What a row of another file must share to be comparable."""
        return self.operation, self.problem, self.variant, self.device, self.dtype, self.cache

    def with_errors(self, errors: Errors) -> Row:
        """This row of a variant that is right."""
        return replace(self, largest_error=errors.largest, norm_error=errors.norm, tolerance_used=errors.used)

    @property
    def gflops(self) -> float | None:
        """Billions of the definition's operations in a second."""
        return None if self.median_ms is None else 1e-6 * self.work / self.median_ms

    @property
    def gigabytes(self) -> float | None:
        """Gigabytes moved in a second."""
        return None if self.median_ms is None else 1e-6 * self.bytes_moved / self.median_ms


@dataclass(frozen=True)
class Report:
    """All rows of a run, and with what they were measured."""

    environment: dict[str, Any]
    settings: dict[str, Any]
    ceilings: dict[str, Any]
    rows: tuple[Row, ...] = ()

    def with_rows(self, rows: Sequence[Row]) -> Report:
        return replace(self, rows=tuple(rows))


def _finite(content: Any) -> Any:
    """`content` with None for infinite numbers and NaN, which JSON does not have."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def save(report: Report, path: Path) -> None:
    """Write a report as JSON, at once or not at all.

    Raises:
        MinigradError: if the file cannot be written.
    """
    content = _finite({"format": FORMAT, **asdict(report)})
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def _row(content: dict[str, Any]) -> Row:
    known = {item.name for item in fields(Row)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in content.items()
        if name in known
    }
    missing = [
        item.name
        for item in fields(Row)
        if item.default is MISSING and item.default_factory is MISSING and item.name not in values
    ]
    if missing:
        raise ValueError(f"a row of it has no {missing[0]}")
    return Row(**values)


def load(path: Path) -> Report:
    """Read what `save` wrote.

    Raises:
        MinigradError: if there is no such file, or it is none of ours.
    """
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {FORMAT!r}")
        rows = tuple(_row(row) for row in content["rows"])
        return Report(content["environment"], content["settings"], content["ceilings"], rows)
    except OSError as error:
        raise MinigradError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MinigradError(f"{path} is no file that `minigrad bench --json` wrote: {error}") from error
