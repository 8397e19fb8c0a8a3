"""The tables fit the terminal, and are plain and whole in a file."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from minigrad.workbench import compare, table
from minigrad.workbench.rows import Row

ROW = Row(
    "conv2d_forward", "96x14x14 -> 208, 3x3/1 pad 1  (inception4a.branch2.1.conv)", "Conv2dProblem(...)", (),
    "implicit_gemm_tensor_core", "cuda", "float32", largest_error=1e-6, norm_error=2e-7, tolerance_used=0.01,
    median_ms=31.87, p20_ms=19.559, p80_ms=36.45, work=10**9, bytes_moved=10**7, roofline=0.2, side="arithmetic",
    over_reference=1.2, over_pytorch=0.97, standing="fastest",
)  # fmt: skip
WRONG = replace(
    ROW, variant="winograd", verdict="wrong", norm_error=None, median_ms=None, reason="y[0] is " + "9" * 99
)
EMULATED = replace(ROW, median_ms=None, launches=("convolve 7 blocks of 256 threads",) * 5)
HEADERS = [column.header for column in (*table.ERRORS, *table.TIMES)]


def terminal(width: int, colours: bool = False) -> Console:
    return Console(width=width, force_terminal=True, highlight=False, color_system="standard" if colours else None)


def in_file() -> Console:
    return table.page(io.StringIO())


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    blocks = [table.layer_block(rows, terminal(width)) for rows in ([ROW, WRONG], [EMULATED])]
    blocks.append(compare.summary([compare.Comparison(ROW, ROW, "SAME")], terminal(max(width, 60))))
    assert max(len(line) for block in blocks[:2] for line in block.splitlines()) <= width
    assert max(len(line) for line in blocks[2].splitlines()) <= max(width, 60)


def test_a_narrow_terminal_keeps_the_times_and_what_they_are_compared_with() -> None:
    block = table.layer_block([ROW], terminal(80))
    assert all(
        word in block for word in ("31.870", "0.97x", "20% arithmetic", "fastest", "implicit_gemm_tensor_core")
    )
    assert "0.31" not in block  # GB/s


def test_a_wide_one_has_every_column() -> None:
    header = table.layer_block([ROW], terminal(200)).splitlines()[1]
    assert [name for name in HEADERS if name not in header] == []


def test_a_file_has_every_column_in_one_line_a_row_and_no_colours() -> None:
    lines = table.layer_block([ROW, WRONG], in_file()).splitlines()
    assert len(lines) == 4
    assert [name for name in HEADERS if name not in lines[1]] == []
    assert lines[3].endswith("9" * 99)
    assert not any("\x1b" in line or line != line.rstrip() for line in lines)
    summary = compare.summary([compare.Comparison(ROW, ROW, "SLOWER")], in_file())
    assert "\x1b" not in summary
    assert len(summary.splitlines()) == 3


def test_a_terminal_has_colours() -> None:
    assert "\x1b[" in table.layer_block([ROW, WRONG], terminal(100, colours=True))


def test_columns_are_aligned() -> None:
    other = replace(ROW, variant="direct", median_ms=1.5, p20_ms=1.25, p80_ms=2.0, standing="")
    header, *rows = table.layer_block([ROW, other], in_file()).splitlines()[1:]
    end = header.index("median ms") + len("median ms")
    assert [row[:end].split()[-1] for row in rows] == ["31.870", "1.500"]
