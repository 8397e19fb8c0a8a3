"""Running the command line in this process, and what every failure of it looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from minigrad.cli import main


class Result(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Result]


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs `minigrad ARGUMENTS` and gives its status and what it wrote."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return Result(status, *capsys.readouterr())

    return run


def without_compilation(err: str) -> list[str]:
    """The lines of standard error, without those on kernels, which only the first run on a machine writes.

    Nor with what Grain's worker processes write as they start: that they found no profiler of JAX.
    """
    beginnings = "compiling kernels", "compiled ", "WARNING:absl:Failed to load jax profiler"
    return [line for line in err.splitlines() if not line.startswith(beginnings)]


def assert_fails(result: Result, *phrases: object, status: int = 1) -> None:
    """One line on standard error, "minigrad: ...", with every phrase in it, and the status."""
    lines = without_compilation(result.err)
    assert len(lines) == 1, result.err
    assert lines[0].startswith("minigrad: ")
    missing = [phrase for phrase in phrases if str(phrase) not in lines[0]]
    assert not missing, f"{missing} are not in: {lines[0]}"
    assert result.status == status
