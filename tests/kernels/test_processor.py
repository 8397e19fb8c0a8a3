"""MINIGRAD_CPU: kernels compute as on another processor, or the program says why they cannot."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from minigrad.kernels.cpu import processor

PROGRAM = """
import numba, numpy as np
from minigrad.kernels.cpu.processor import NAME, VECTOR_BYTES, VECTOR_REGISTERS
from minigrad.kernels.cpu.tile import TILE_ROWS
from minigrad.kernels.machine import processor

@numba.njit
def scaled(x):
    return 3 * x + x

scaled(np.ones(100, np.float32))
(assembly,) = scaled.inspect_asm().values()
widest = max(bytes for name, bytes in {"zmm": 64, "ymm": 32, "xmm": 16}.items() if name in assembly)
print(processor())
print(NAME, VECTOR_BYTES, VECTOR_REGISTERS, TILE_ROWS, widest)
"""
# Vector bytes, registers, rows of a tile, and the widest vector in Numba's own loops (AVX-512's may differ).
WIDTHS = {"x86-64": "16 16 4 16", "haswell": "32 16 4 32", "skylake-avx512": "64 32 8"}


def run(program: str, level: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MINIGRAD_CPU": level}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize("level", processor.LEVELS)
def test_vectors_tiles_and_what_numba_emits_follow_the_variable(level: str) -> None:
    if level not in processor.levels():
        pytest.skip(f"this processor is no {level}")
    name, widths = run(PROGRAM, level).stdout.splitlines()
    assert name.endswith(f" as {level}")
    assert widths.startswith(f"{level} {WIDTHS[level]}")


def test_each_level_has_what_the_one_before_it_has() -> None:
    baseline, *newer = processor.LEVELS.values()
    for features in newer:
        assert baseline < features
        baseline = features


def test_a_level_that_the_machine_cannot_follow_is_told_at_the_first_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "own_features", lambda: processor.LEVELS["x86-64"])
    monkeypatch.setenv("MINIGRAD_CPU", "haswell")
    assert processor.levels() == ["x86-64", "native"]
    with pytest.raises(
        processor.MinigradError, match=r"'haswell': this processor lacks avx, avx2, .*use one of x86-64"
    ):
        processor.read_environment()


def test_a_name_that_does_not_exist_is_told_at_the_first_kernel() -> None:
    program = "import minigrad as mg\nprint('imported')\n"
    program += "import minigrad.nn.functional as F\nF.max_pool2d(mg.ones((1, 2, 8, 8)), 2)"
    result = run(program, "i386")
    assert result.stdout == "imported\n"
    assert "MINIGRAD_CPU='i386': it is not a known processor; use one of" in result.stderr.splitlines()[-1]
