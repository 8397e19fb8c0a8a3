"""Anomaly reports name the first operation that went wrong, its module and its line, in both directions."""

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

HERE = re.escape("test_anomaly.py")


class Root(nn.Module):
    """The square root, which is not finite below 0, nor is its gradient at 0."""

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        y = x - 1.0
        return mg.sqrt(y)  # the line to be named


class Unit(nn.Module):
    def __init__(self) -> None:
        self.conv = nn.Conv2d(1, 2, 1)
        self.root = Root()

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        x = self.conv(x)  # the line that calls the convolution
        return self.root(x)


class Net(nn.Module):
    def __init__(self) -> None:
        self.stem = nn.Identity()
        self.branch = nn.Sequential(nn.Identity(), Unit())

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.branch(self.stem(x)).sum()


def line_of(source: Any, text: str) -> int:
    lines, first = inspect.getsourcelines(source)
    return first + next(i for i, line in enumerate(lines) if text in line)


def net_giving(value: float) -> tuple[Net, mg.Tensor]:
    """A model whose convolution gives `value` everywhere."""
    net = Net()
    nn.init.zeros_(net.branch[1].conv.weight)  # type: ignore[attr-defined]
    nn.init.constant_(net.branch[1].conv.bias, value)  # type: ignore[attr-defined]
    return net, mg.ones((2, 1, 3, 3))


def report(function: Callable[[], Any]) -> mg.AnomalyError:
    with pytest.raises(mg.AnomalyError) as caught, mg.detect_anomaly():
        function()
    return caught.value


def test_finite_training_passes_in_silence() -> None:
    net, x = net_giving(2.0)
    with mg.detect_anomaly():
        net(x).backward()
    assert all(p.grad is not None for p in net.parameters())


def test_forward_names_operation_module_line_and_count() -> None:
    net, x = net_giving(0.5)
    error = report(lambda: net(x))
    line = line_of(Root, "the line to be named")
    assert (error.operation, error.direction, error.count) == ("sqrt", "forward", 36)
    assert error.module_path == "branch.1.root"
    assert error.origin is not None and error.origin.line == line
    assert error.origin.file == __file__
    assert re.fullmatch(
        rf"not finite, forward: sqrt in branch\.1\.root \(Root\), .*{HERE}:{line} "
        r"`return mg\.sqrt\(y\)  # the line to be named`: "
        r"output of shape \(2, 2, 3, 3\) has 36 NaN and 0 infinite of 36 values "
        r"\(inputs: \(2, 2, 3, 3\) float32\)",
        str(error),
    )


def test_backward_names_the_forward_call() -> None:
    net, x = net_giving(1.0)
    loss = []

    def train() -> None:
        loss.append(net(x))
        loss[0].backward()

    error = report(train)
    line = line_of(Root, "the line to be named")
    assert loss[0].item() == 0.0
    assert (error.operation, error.direction, error.count) == ("sqrt", "backward", 36)
    assert error.module_path == "branch.1.root" and error.origin.line == line  # type: ignore[union-attr]
    assert re.fullmatch(
        rf"not finite, backward: sqrt, called forward in branch\.1\.root \(Root\), .*{HERE}:{line} `.*`: "
        r"gradient of input 0 of shape \(2, 2, 3, 3\) has 0 NaN and 36 infinite of 36 values "
        r"\(inputs: \(2, 2, 3, 3\) float32\)",
        str(error),
    )


def test_a_layers_operation_is_at_the_line_that_calls_the_layer() -> None:
    net, x = net_giving(math.inf)
    error = report(lambda: net(x))
    assert (error.operation, error.module_path) == ("Conv2d", "branch.1.conv")
    assert error.origin.line == line_of(Unit, "the line that calls the convolution")  # type: ignore[union-attr]


def test_a_parameter_that_came_in_wrong_is_named() -> None:
    net, x = net_giving(math.nan)
    assert "parameter branch.1.conv.bias had such values when it came in" in str(report(lambda: net(x)))


def test_an_input_that_came_in_wrong_is_named() -> None:
    net, x = net_giving(2.0)
    x.numpy()[1, 0, 2, 2] = math.nan
    error = report(lambda: net(x))
    assert error.operation == "Conv2d" and error.count == 2
    assert "input 0 had such values when it came in" in str(error)


def test_outside_of_modules_the_line_alone_is_named() -> None:
    def divide() -> mg.Tensor:
        return mg.ones(2) / 0.0  # divided here

    error = report(divide)
    assert error.module_path == "" and error.origin.line == line_of(divide, "divided here")  # type: ignore[union-attr]
    assert re.match(rf"not finite, forward: divide at .*{HERE}:\d+ `return mg\.ones\(2\) / 0\.0", str(error))


def test_a_gradient_that_comes_in_wrong_is_reported_as_such() -> None:
    x = mg.tensor([1.0], requires_grad=True)
    error = report(lambda: (x * 2.0).backward(mg.tensor([math.inf])))
    assert (error.operation, error.direction) == ("multiply", "backward")
    assert "gradient that came in of shape (1,) has 0 NaN and 1 infinite of 1 values" in str(error)


def test_operations_made_before_the_search_are_reported_without_a_line() -> None:
    x = mg.tensor([0.0], requires_grad=True)
    y = mg.sqrt(x)
    with np.errstate(all="ignore"):
        error = report(y.backward)
    assert error.origin is None and error.module_path == ""
    assert str(error).startswith("not finite, backward: sqrt: gradient of input 0")


def test_in_a_second_backward_pass_the_origin_is_still_the_forward_call() -> None:
    x = mg.tensor([0.0], requires_grad=True)

    def second() -> None:
        y = x**1.5  # the power: its first gradient is 0 at 0, its second is not finite
        (first,) = mg.grad(y, x, create_graph=True)
        assert first is not None
        first.backward()

    error = report(second)
    assert error.direction == "backward"
    assert error.origin.line == line_of(second, "the power:")  # type: ignore[union-attr]


def test_integers_and_the_time_after_the_block_are_not_examined() -> None:
    with mg.detect_anomaly():
        mg.arange(3) * 2
    with np.errstate(all="ignore"):
        assert math.isinf((mg.ones(1) / 0.0).item())
