"""How a thread of the crew lets others run, on systems that differ."""

from __future__ import annotations

import llvmlite.binding
import numba
import pytest

from minigrad.kernels.cpu import crew


@pytest.mark.parametrize("name", ["sched_yield", "SwitchToThread"])
def test_the_systems_own_call_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(llvmlite.binding, "address_of_symbol", lambda symbol: 1 if symbol == name else None)
    assert crew.yielding_call().symbol == name


def test_where_the_system_has_no_such_call_a_thread_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvmlite.binding, "address_of_symbol", lambda symbol: None)
    give_way = crew.yielding_call()

    @numba.njit
    def wait(times):  # type: ignore[no-untyped-def]
        for _ in range(times):
            give_way()
        return times

    assert wait(3) == 3
