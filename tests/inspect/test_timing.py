"""The timer counts calls and seconds by operation and by module."""

import time
from typing import Any

import pytest

import minigrad as mg
from minigrad import nn
from minigrad.autograd import Function, apply

PAUSE = 0.02


class Pause(Function):
    """Takes its time in both directions."""

    def forward(self, x: Any) -> Any:
        time.sleep(PAUSE)
        return x + 1

    def backward(self, gradient: mg.Tensor) -> mg.Tensor:
        time.sleep(2 * PAUSE)
        return gradient * 1.0


class Slow(nn.Module):
    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return apply(Pause(), x)


def run() -> mg.inspect.Timer:
    net = nn.Sequential(Slow(), nn.ReLU(), Slow())
    x = mg.ones(3, requires_grad=True)
    with mg.timer() as timer:
        net(x).sum().backward()
    net(x)  # after the block: not counted
    return timer


def test_time_is_added_up_by_operation_in_each_direction() -> None:
    timings = run().timings()
    assert next(iter(timings)) == "Pause"  # the longest first
    assert {name: timing.calls for name, timing in timings.items()} == {"Pause": 2, "relu": 1, "sum": 1}
    assert timings["Pause"].forward >= 2 * PAUSE and timings["Pause"].backward >= 4 * PAUSE


def test_what_a_backward_formula_calls_counts_for_its_operation() -> None:
    assert "multiply" not in run().timings()


def test_time_is_added_up_by_module() -> None:
    timings = run().timings(by="module")
    assert {name: timing.calls for name, timing in timings.items()} == {"0": 1, "1": 1, "2": 1, "(no module)": 1}
    assert all(timings[name].backward >= 2 * PAUSE for name in ("0", "2"))


def test_the_table_has_a_row_an_operation_and_a_total() -> None:
    lines = run().table().splitlines()
    assert lines[0].split() == ["operation", "calls", "forward", "ms", "backward", "ms", "total", "ms", "share"]
    assert lines[1].split()[:2] == ["Pause", "2"]
    assert lines[-1].split()[:2] == ["total", "4"]
    assert run().table(by="module").startswith("module ")


def test_another_order_is_refused() -> None:
    with pytest.raises(mg.MinigradError, match="by 'operation' or by 'module', not by 'line'"):
        run().timings(by="line")
