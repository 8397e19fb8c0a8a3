"""metrics.jsonl: one JSON object a line for each epoch, only ever appended to.

Fields: epoch (from 1), train_loss, train_accuracy, test_loss, test_accuracy (fractions of 1), images_per_second
(of training), seconds (of the whole epoch).
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigrad.kernels.errors import MinigradError

from .atomic_file import write_atomically, write_error

METRICS = "metrics.jsonl"


def append_metrics(path: str | Path, record: Mapping[str, Any]) -> None:
    """Add `record` as the last line of `path`, which is made where it is missing.

    Raises:
        MinigradError: the line cannot be written (a full disk); the file is as it was before.
        ValueError: a number that JSON has no way to write (not finite).
    """
    path = Path(path)
    line = json.dumps(record, allow_nan=False).encode() + b"\n"
    try:
        with path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # a raw write may stop short
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(before)
                raise
    except OSError as error:
        raise write_error(path, len(line), error) from error


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The records in `path`, oldest first; none where there is no such file.

    A last line without its end, which a killed process leaves behind, is left out.

    Raises:
        MinigradError: another line is not a JSON object with an integer "epoch"; names the line.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise MinigradError(f"cannot read {path}: {error.strerror}") from error
    # What follows the last newline is nothing, or a line that was never finished.
    return [_record(path, number, line) for number, line in enumerate(lines[:-1], start=1)]


def cut_metrics(path: str | Path, last_epoch: int) -> list[dict[str, Any]]:
    """Keep only the records up to epoch `last_epoch`, so that a run resumed from there can go on writing.

    Returns:
        The records kept. Where nothing is cut, the file is not touched.

    Raises:
        MinigradError: as `read_metrics` does, or the file cannot be written; then it is as it was before.
    """
    path = Path(path)
    kept = [record for record in read_metrics(path) if record["epoch"] <= last_epoch]
    content = b"".join(json.dumps(record).encode() + b"\n" for record in kept)
    if path.exists() and path.read_bytes() != content:
        write_atomically(path, content)
    return kept


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or type(record.get("epoch")) is not int:
        raise MinigradError(f"line {number} of {path} is not a JSON object with an epoch: {line[:60]!r}")
    return record
