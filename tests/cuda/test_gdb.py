"""A kernel can be stepped through: gdb stops inside of it, and shows its thread and its variables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from claims.variants import without_compiler

pytestmark = [
    without_compiler,
    pytest.mark.skipif(shutil.which("gdb") is None, reason="there is no gdb"),
    pytest.mark.lengthy,  # gdb reads the symbols of all that Python has loaded
]
SCRIPT = """
import minigrad as mg
import minigrad.nn.functional as F
F.dropout(mg.ones(300).to("emulated"), 0.5)
"""


def test_a_breakpoint_in_a_kernel_shows_its_thread_and_its_variables() -> None:
    commands = ("set breakpoint pending on", "break drop", "run", "print emulator::thread->index", "info args")
    done = subprocess.run(
        [
            "gdb",
            "-q",
            "-batch",
            *(x for c in commands for x in ("-ex", c)),
            "--args",
            sys.executable,
            "-c",
            SCRIPT,
        ],
        env={**os.environ, "MINIGRAD_EMULATOR_DEBUG": "1", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if "ptrace: Operation not permitted" in done.stderr:
        pytest.skip("gdb may not trace programs here")
    assert "dropout.cu:" in done.stdout and "{x = 0, y = 0, z = 0}" in done.stdout, done.stdout + done.stderr
    assert "size = 300" in done.stdout
