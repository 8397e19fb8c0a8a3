"""Kernels that cheat, and the claim that the workbench catches them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minigrad.kernels.registry import OPERATIONS, Operation
from minigrad.workbench.layers import Layer
from minigrad.workbench.roofline import Ceilings
from minigrad.workbench.rows import Row
from minigrad.workbench.session import Session
from minigrad.workbench.settings import Settings

Kernel = Callable[..., Any]


@pytest.fixture
def restored_variants() -> Iterator[None]:
    """What a test registers is gone after it."""
    before = {name: dict(operation.variants) for name, operation in OPERATIONS.items()}
    yield
    for name, variants in before.items():
        OPERATIONS[name].variants = variants
        OPERATIONS[name]._selected.clear()


def benched(kernel: Kernel, operation: Operation, problem: Any) -> Row:
    """The row of a kernel on one small problem, on the CPU."""
    operation.variant("attack", device="cpu")(kernel)
    settings = Settings(variants=("attack",), seconds=0.0, odd=0, with_pytorch=False)
    ((row,),) = Session(settings, Ceilings(1e10, 1e11)).measure([Layer(operation.name, problem)])
    return row


def assert_wrong(row: Row, problem: Any, *phrases: str) -> None:
    """The row is wrong, says why and on which problem, and has no time."""
    assert row.verdict == "wrong"
    assert row.median_ms is None
    assert row.roofline is None
    assert str(problem) in row.reason
    missing = [phrase for phrase in phrases if phrase not in row.reason]
    assert not missing, f"{missing} are not in: {row.reason}"
