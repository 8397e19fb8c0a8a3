"""A captured model gives the bits of the model, whatever happens to its numbers in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.captured as captured_module
from minigrad import nn
from minigrad.autograd import Function
from minigrad.kernels.errors import MinigradError
from minigrad.models import GoogLeNet, GoogLeNetPaper

generator = np.random.default_rng(0)


def images(count: int = 2, size: int = 64) -> mg.Tensor:
    return mg.asarray(generator.standard_normal((count, 3, size, size), dtype=np.float32))


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def of(model: nn.Module, x: mg.Tensor) -> np.ndarray:
    with mg.no_grad():
        return model(x).numpy()


def assert_same_bits(captured: nn.Captured, x: mg.Tensor) -> None:
    np.testing.assert_array_equal(captured(x).numpy(), of(captured.model, x))


@pytest.mark.parametrize("make", [lambda: GoogLeNet(num_classes=7), lambda: GoogLeNetPaper(num_classes=7), small])
def test_each_call_gives_the_bits_of_the_model(make: Callable[[], nn.Module]) -> None:
    captured = nn.Captured(make().eval())
    for _ in range(4):
        assert_same_bits(captured, images())
    assert not captured.trouble


def test_the_model_is_asked_twice_and_then_no_more() -> None:
    calls = []

    class Counted(nn.Module):
        def __init__(self) -> None:
            self.inner = small()

        def forward(self, x: mg.Tensor) -> mg.Tensor:
            calls.append(x.shape)
            return self.inner(x)

    captured = nn.Captured(Counted().eval())
    for _ in range(5):
        captured(images())
    assert len(calls) == 2


def test_shapes_have_plans_of_their_own() -> None:
    captured = nn.Captured(small().eval())
    for _ in range(3):
        for count in (1, 2, 3, 4, 5, 6):
            assert_same_bits(captured, images(count, 16))


def test_results_stay_what_they_were() -> None:
    captured = nn.Captured(small().eval())
    x = images(2, 16)
    results = [captured(x) for _ in range(4)]
    before = [result.numpy().copy() for result in results]
    captured(images(2, 16))
    for result, values in zip(results, before, strict=True):
        np.testing.assert_array_equal(result.numpy(), values)


@pytest.mark.parametrize("name", ["0.weight", "0.bias", "1.weight", "1.running_var"])
def test_new_values_count_from_the_next_call_on(name: str) -> None:
    captured = nn.Captured(small().eval())
    for _ in range(3):
        for _ in range(3):
            assert_same_bits(captured, images(2, 16))
        captured.model.state_dict()[name].numpy()[...] *= 1.5


@pytest.mark.parametrize("name", ["conv1.bn.running_mean", "inception4c.branch3.0.conv.weight", "fc.bias"])
def test_so_do_those_of_any_layer_of_googlenet(name: str) -> None:
    captured = nn.Captured(GoogLeNet(num_classes=7).eval())
    x = images(1)
    for _ in range(2):
        for _ in range(3):
            assert_same_bits(captured, x)
        captured.model.state_dict()[name].numpy()[...] += 0.5


def test_a_frozen_model_gives_the_same_bits_without_a_look_at_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("minigrad.nn.captured.Watch")
    captured = nn.Captured(GoogLeNet(num_classes=7).eval(), frozen=True)
    for _ in range(4):
        assert_same_bits(captured, images(1))
    assert not captured.trouble


def test_so_do_new_arrays() -> None:
    captured = nn.Captured(small().eval())
    for _ in range(3):
        assert_same_bits(captured, images(2, 16))
    captured.model.to(dtype=np.float64)
    for _ in range(3):
        x = images(2, 16).astype(np.float64)
        assert_same_bits(captured, x)


class Calling(nn.Module):
    """A head on what `body` gives, which is no part of it."""

    def __init__(self, body: Callable[[mg.Tensor], mg.Tensor]) -> None:
        self._body = (body,)
        self.head = nn.Linear(8, 2)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.head(self._body[0](x))


@pytest.mark.parametrize("calls_before", [0, 1, 3])
def test_one_inside_of_another_is_a_part_of_it(calls_before: int) -> None:
    inner = nn.Captured(small().eval())
    for _ in range(calls_before):
        inner(images(2, 16))
    alone, outer = Calling(inner.model), nn.Captured(Calling(inner).eval())
    alone.head = outer.model.head
    for _ in range(2):
        for _ in range(3):
            x = images(2, 16)
            np.testing.assert_array_equal(outer(x).numpy(), of(alone, x))
        inner.model.state_dict()["0.weight"].numpy()[...] *= 1.5
    assert not outer.trouble and not inner.trouble


def test_a_call_in_the_middle_of_another_asks_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another thread would make it, at any place between the start of the plan and the end of the copy."""
    captured = nn.Captured(small().eval())
    for _ in range(3):
        captured(images(2, 16))
    x, other = images(2, 16), images(2, 16)
    between: list[np.ndarray] = []

    def call_and_copy(outputs: Any) -> Any:
        monkeypatch.undo()
        between.append(captured(other).numpy())
        return copied(outputs)

    copied = captured_module._copied
    monkeypatch.setattr(captured_module, "_copied", call_and_copy)
    assert_same_bits(captured, x)
    np.testing.assert_array_equal(between, [of(captured.model, other)])


class Mean(nn.Module):
    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x.sum((2, 3))


def test_how_the_images_lie_counts() -> None:
    captured = nn.Captured(Mean().eval())
    for _ in range(3):
        x = generator.standard_normal((2, 8, 40, 40), dtype=np.float32)
        assert_same_bits(captured, mg.asarray(x))
        assert_same_bits(captured, mg.asarray(x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)))


def test_so_does_what_products_are_computed_in() -> None:
    captured = nn.Captured(small().eval())
    for _ in range(3):
        x = images(2, 16)
        assert_same_bits(captured, x)
        for dtype in ("bfloat16", "float16"):
            with mg.autocast(dtype):
                assert captured(x).dtype == captured.model(x).dtype
                assert_same_bits(captured, x)
    assert not captured.trouble


def test_a_tuple_of_results_is_one_of_captured_results() -> None:
    class Two(nn.Module):
        def forward(self, x: mg.Tensor) -> tuple[mg.Tensor, mg.Tensor]:
            return x + 1, x.sum()

    model = Two().eval()
    captured = nn.Captured(model)
    for _ in range(3):
        x = images()
        for ours, models in zip(captured(x), model(x), strict=True):
            np.testing.assert_array_equal(ours.numpy(), models.numpy())


class Square(Function):
    def forward(self, x: Any) -> Any:
        return x * x


def reads(x: mg.Tensor) -> mg.Tensor:
    return x * 2 if x.sum().item() > 0 else x


def draws(x: mg.Tensor) -> mg.Tensor:
    return x + mg.random.rand(x.shape) * 0


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (Square(), "Square is no operation of"),
        (reads, "value of a Tensor"),
        (draws, "random numbers"),
    ],
)
def test_what_cannot_be_recorded_is_asked_each_time(forward: Callable[..., mg.Tensor], reason: str) -> None:
    class Model(nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return forward(x)

    captured = nn.Captured(Model().eval())
    for sign in (1, -1, 1, -1):
        assert_same_bits(captured, mg.asarray(sign * np.ones(3, np.float32)))
    assert reason in captured.trouble


def test_hooks_are_called_each_time() -> None:
    model, seen = small().eval(), []
    model.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    captured = nn.Captured(model)
    for _ in range(4):
        captured(images(2, 16))
    assert len(seen) == 4
    assert "hook" in captured.trouble


def test_a_model_in_training_mode_is_refused() -> None:
    with pytest.raises(MinigradError, match="call eval"):
        nn.Captured(small())(images(2, 16))
