"""Two files of the bench: what is the same, faster, slower, and the exit status."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from claims.commands import Run, assert_fails
from minigrad.workbench.rows import Report, Row, load, save

ROW = Row(
    "conv2d_forward", "a layer", "Conv2dProblem(...)", (), "direct", "cpu", "float32",
    median_ms=1.0, p20_ms=0.9, p80_ms=1.1, rounds=9,
)  # fmt: skip
STAMP = {"processor": "a processor", "gpu": "none", "threads": 2}


def write(path: Path, *rows: Row, processor: str = "a processor") -> None:
    save(Report({**STAMP, "processor": processor}, {}, {}, rows), path)


def timed(factor: float) -> Row:
    return replace(ROW, median_ms=factor, p20_ms=0.9 * factor, p80_ms=1.1 * factor)


EMPTY_ROW = '{"format": "minigrad bench 1", "rows": [{}], "environment": {}, "settings": {}, "ceilings": {}}'
WRONG = replace(ROW, verdict="wrong", reason="y[0] is 1", median_ms=None, p20_ms=None, p80_ms=None)


@pytest.mark.parametrize(
    ("new", "word", "status"),
    [
        (timed(1.0), "SAME", 0),
        (timed(1.15), "SAME", 0),  # the intervals overlap
        (timed(0.5), "FASTER", 0),
        (timed(1.5), "SLOWER", 1),
        (WRONG, "WRONG", 1),
        (replace(timed(1.04), p20_ms=1.035, p80_ms=1.045), "SAME", 0),  # below the threshold
    ],
)
def test_a_row(minigrad: Run, tmp_path: Path, new: Row, word: str, status: int) -> None:
    write(tmp_path / "old.json", replace(ROW, p20_ms=0.99, p80_ms=1.01) if new.p80_ms == 1.045 else ROW)
    write(tmp_path / "new.json", new)
    result = minigrad("bench", "compare", "old.json", "new.json")
    assert f"1 {word}" in result.out
    assert result.status == status
    if status:
        assert_fails(result, "1 of 1 rows are worse", "conv2d_forward=direct on a layer", word)


def test_what_was_wrong_and_is_right_is_no_regression(minigrad: Run, tmp_path: Path) -> None:
    write(tmp_path / "old.json", WRONG)
    write(tmp_path / "new.json", ROW)
    result = minigrad("bench", "compare", "old.json", "new.json")
    assert (result.status, "1 RIGHT" in result.out) == (0, True)


def test_another_machine_is_told(minigrad: Run, tmp_path: Path) -> None:
    write(tmp_path / "old.json", ROW)
    write(tmp_path / "new.json", ROW, processor="another")
    assert "processor: a processor | another" in minigrad("bench", "compare", "old.json", "new.json").out


def test_files_without_a_common_row(minigrad: Run, tmp_path: Path) -> None:
    write(tmp_path / "old.json", ROW)
    write(tmp_path / "new.json", replace(ROW, variant="winograd"))
    assert_fails(minigrad("bench", "compare", "old.json", "new.json"), "no row in common")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "minigrad bench 0"}', "not json", EMPTY_ROW])
def test_a_file_that_is_not_ours(minigrad: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "old.json").write_text(text)
    write(tmp_path / "new.json", ROW)
    assert_fails(minigrad("bench", "compare", "old.json", "new.json"), "old.json", "minigrad bench --json")


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = (ROW, WRONG, replace(ROW, launches=("gather 2 blocks of 256 threads",), paths=("conv1.conv",)))
    write(tmp_path / "rows.json", *rows)
    assert load(tmp_path / "rows.json").rows == rows


def test_rows_that_only_one_file_has_are_told(minigrad: Run, tmp_path: Path) -> None:
    write(tmp_path / "old.json", ROW, replace(ROW, variant="im2col"), replace(ROW, variant="winograd"))
    write(
        tmp_path / "new.json",
        ROW,
        replace(ROW, variant="mine"),
        replace(ROW, variant="PyTorch", verdict="yardstick"),
    )
    out = minigrad("bench", "compare", "old.json", "new.json").out
    assert "note: 2 rows of old.json are not in new.json" in out
    assert "note: 1 rows of new.json are not in old.json" in out


def test_a_file_is_json_to_every_reader(tmp_path: Path) -> None:
    """Which knows no infinity."""
    save(
        Report(STAMP, {"hopeless": float("inf")}, {}, (replace(ROW, largest_error=float("nan")),)),
        tmp_path / "a.json",
    )
    content = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert content["settings"] == {"hopeless": None}
    assert content["rows"][0]["largest_error"] is None
