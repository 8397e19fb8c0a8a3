"""Initial values: the formulas, the distributions, and that a seed repeats them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

import minigrad as mg
from minigrad import nn
from minigrad.nn import init

SHAPE = (64, 32, 3, 3)  # fan in 288, fan out 576; 18,432 values


def draw(fill: Callable[..., mg.Tensor], *arguments: float, **options: object) -> np.ndarray:
    parameter = nn.Parameter(mg.zeros(SHAPE))
    assert fill(parameter, *arguments, generator=mg.Generator(5), **options) is parameter
    return parameter.numpy().ravel()


def assert_drawn_from(values: np.ndarray, distribution: scipy.stats.rv_continuous) -> None:
    """The Kolmogorov-Smirnov test; the seed is fixed, and one right sample in 1000 would fail."""
    assert scipy.stats.kstest(values, distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (-3.0, 2.0)])
def test_uniform(a: float, b: float) -> None:
    values = draw(init.uniform_, a, b)
    assert a <= values.min() and values.max() <= b
    assert_drawn_from(values, scipy.stats.uniform(a, b - a))


def test_normal() -> None:
    assert_drawn_from(draw(init.normal_, 2.0, 0.5), scipy.stats.norm(2.0, 0.5))


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0.0, 0.01, -0.02, 0.02),  # GoogLeNet's: cut at two standard deviations
        (0.0, 1.0, -2.0, 2.0),
        (1.0, 2.0, 0.0, 1.5),
        (0.0, 1.0, 6.0, 7.0),  # far out, where the distribution function is 1 to nine digits
        (0.0, 1.0, -40.0, -6.0),
    ],
)
def test_truncated_normal(mean: float, std: float, a: float, b: float) -> None:
    values = draw(init.trunc_normal_, mean, std, a, b)
    assert np.float32(a) <= values.min() and values.max() <= np.float32(b)
    assert_drawn_from(values, scipy.stats.truncnorm((a - mean) / std, (b - mean) / std, mean, std))


def test_truncated_normal_refuses_an_empty_interval() -> None:
    with pytest.raises(mg.MinigradError, match=r"got std=1.0, a=2.0, b=-2.0"):
        draw(init.trunc_normal_, 0.0, 1.0, 2.0, -2.0)
    with pytest.raises(mg.MinigradError, match=r"got std=0.0"):
        draw(init.trunc_normal_, 0.0, 0.0)


def test_xavier() -> None:
    bound = 2 * math.sqrt(6 / (288 + 576))
    assert_drawn_from(draw(init.xavier_uniform_, 2.0), scipy.stats.uniform(-bound, 2 * bound))
    assert_drawn_from(draw(init.xavier_normal_, 2.0), scipy.stats.norm(0, 2 * math.sqrt(2 / (288 + 576))))


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 288), ("fan_out", 576)])
@pytest.mark.parametrize(("nonlinearity", "a", "gain"), [("relu", 0.0, 2.0), ("leaky_relu", 0.5, 2 / 1.25)])
def test_kaiming(mode: str, fan: int, nonlinearity: str, a: float, gain: float) -> None:
    std = math.sqrt(gain / fan)
    options = {"a": a, "mode": mode, "nonlinearity": nonlinearity}
    assert_drawn_from(draw(init.kaiming_normal_, **options), scipy.stats.norm(0, std))
    bound = math.sqrt(3) * std
    assert_drawn_from(draw(init.kaiming_uniform_, **options), scipy.stats.uniform(-bound, 2 * bound))


def test_kaiming_refuses_an_unknown_mode() -> None:
    with pytest.raises(mg.MinigradError, match="mode must be 'fan_in' or 'fan_out', got 'fan'"):
        draw(init.kaiming_normal_, mode="fan")


def test_constants() -> None:
    parameter = nn.Parameter(mg.zeros(3))
    assert init.ones_(parameter).tolist() == [1.0] * 3
    assert init.constant_(parameter, 2.5).tolist() == [2.5] * 3
    assert init.zeros_(parameter).tolist() == [0.0] * 3


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5, 2)])
def test_fan_is_pytorchs(shape: tuple[int, ...]) -> None:
    assert init.fan(mg.zeros(shape)) == torch.nn.init._calculate_fan_in_and_fan_out(torch.zeros(shape))


def test_fan_needs_a_weight() -> None:
    with pytest.raises(mg.ShapeError, match=r"at least two axes \(outputs, inputs\), the shape is \(3,\)"):
        init.fan(mg.zeros(3))


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("linear", None), ("tanh", None), ("relu", None), ("leaky_relu", None), ("leaky_relu", 0.3)],
)
def test_gain_is_pytorchs(name: str, parameter: float | None) -> None:
    assert init.calculate_gain(name, parameter) == torch.nn.init.calculate_gain(name, parameter)  # type: ignore[arg-type]


def test_gain_refuses_an_unknown_nonlinearity() -> None:
    with pytest.raises(mg.MinigradError, match="no gain for nonlinearity 'swish'; there are: linear, conv2d"):
        init.calculate_gain("swish")


@pytest.mark.parametrize(
    "make",
    [
        lambda nn: nn.Conv2d(32, 64, 3, groups=2),
        lambda nn: nn.ConvTranspose2d(32, 64, 3),
        lambda nn: nn.Linear(500, 40),
    ],
)
def test_a_new_layer_is_filled_as_pytorch_fills_it(make: Callable[..., Any]) -> None:
    """Uniform in ± 1 / sqrt(fan in), bias too; the bound is read off PyTorch's own largest value."""
    mg.manual_seed(3)
    torch.manual_seed(3)
    ours, theirs = make(nn), make(torch.nn)
    bound = 1 / math.sqrt(init.fan(ours.weight)[0])
    largest = theirs.weight.abs().max().item()
    assert largest <= bound and bound == pytest.approx(largest, rel=1e-2)  # of thousands of values
    for parameter in ours.parameters():
        assert_drawn_from(parameter.numpy().ravel(), scipy.stats.uniform(-bound, 2 * bound))


def test_a_seed_repeats_the_values_and_the_next_layer_differs() -> None:
    mg.manual_seed(11)
    first, second = nn.Linear(3, 4), nn.Linear(3, 4)
    mg.manual_seed(11)
    again = nn.Linear(3, 4)
    assert np.array_equal(first.weight.numpy(), again.weight.numpy())
    assert not np.array_equal(first.weight.numpy(), second.weight.numpy())


def test_values_go_into_the_memory_and_dtype_of_the_parameter() -> None:
    parameter = nn.Parameter(mg.zeros((2, 3), dtype="float64").T)
    array = parameter.data
    init.normal_(parameter)
    assert parameter.data is array and parameter.dtype == np.float64 and (array != 0).all()
