"""Mixed precision: products in 16 bits, parameters, statistics and losses in float32, as in PyTorch's autocast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as TF

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.models import GoogLeNet, loss

DTYPES = ("float16", "bfloat16")
GENERATOR = np.random.default_rng(0)
# Each operand is rounded once to 11 or 8 bits, the result once more; sums are float32.
ROUNDING = {"float16": 2**-11, "bfloat16": 2**-8}


def drawn(*shape: int) -> np.ndarray:
    return GENERATOR.standard_normal(shape).astype(np.float32)


def gradients(function: Callable[..., Any], *arrays: np.ndarray) -> tuple[mg.Tensor, list[mg.Tensor]]:
    inputs = [mg.tensor(array, requires_grad=True) for array in arrays]
    y = function(*inputs)
    y.astype("float32").sum().backward()
    return y, [x.grad for x in inputs]


def error(found: Any, expected: Any) -> float:
    found, expected = (np.asarray(x, np.float64) for x in (found, expected))
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


PRODUCTS: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "conv2d": (
        lambda x, w, b: F.conv2d(x, w, b, padding=1),
        lambda x, w, b: TF.conv2d(x, w, b, padding=1),
        (drawn(2, 8, 9, 7), drawn(12, 8, 3, 3), drawn(12)),
    ),
    "conv_transpose2d": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2),
        lambda x, w, b: TF.conv_transpose2d(x, w, b, stride=2),
        (drawn(2, 8, 5, 4), drawn(8, 6, 3, 3), drawn(6)),
    ),
    "linear": (F.linear, TF.linear, (drawn(5, 40), drawn(7, 40), drawn(7))),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_take_16_bits_and_gradients_of_parameters_stay_float32(name: str, dtype: str) -> None:
    ours, theirs, arrays = PRODUCTS[name]
    with mg.autocast(dtype):
        y, found = gradients(ours, *arrays)
    exact = [torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in arrays]
    expected = theirs(*exact)
    expected.sum().backward()
    assert y.dtype == dtype
    assert error(y.numpy(), expected.detach()) < 3 * ROUNDING[dtype]
    for gradient, x in zip(found, exact, strict=True):
        assert gradient.dtype == np.float32
        assert error(gradient.numpy(), x.grad) < 3 * ROUNDING[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [True, False])
def test_statistics_are_float32(dtype: str, training: bool) -> None:
    x, weight, bias = (1000 + drawn(8, 3, 5, 5)).astype(dtype), drawn(3), drawn(3)
    mean, variance = mg.zeros(3), mg.ones(3)
    y = F.batch_norm(mg.asarray(x), mean, variance, mg.tensor(weight), mg.tensor(bias), training, momentum=1.0)
    moments = np.zeros(3, np.float32), np.ones(3, np.float32)
    expected = TF.batch_norm(
        *(torch.tensor(a.astype("float64")) for a in (x, *moments, weight, bias)), training, 1.0
    )
    assert (y.dtype, mean.dtype, variance.dtype) == (np.dtype(dtype), np.float32, np.float32)
    assert error(y.numpy(), expected) < 2 * ROUNDING[dtype]
    if training:
        values = x.astype("float64")
        assert error(mean.numpy(), values.mean((0, 2, 3))) < 1e-6
        assert error(variance.numpy(), values.var((0, 2, 3), ddof=1)) < 1e-5


def test_a_model_of_16_bit_parameters_needs_no_autocast() -> None:
    norm = mg.nn.BatchNorm2d(3).to(dtype="float16")
    y = norm(mg.asarray(drawn(4, 3, 5, 5).astype("float16")))
    y.sum().backward()
    assert {p.dtype for p in norm.parameters()} == {y.dtype} == {np.dtype("float16")}
    assert norm.weight is not None and norm.weight.grad is not None
    assert norm.weight.grad.dtype == "float16"


@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_and_probabilities_are_float32(dtype: str) -> None:
    logits = mg.asarray(drawn(4, 10).astype(dtype))
    with mg.autocast(dtype):
        assert F.cross_entropy(logits, mg.asarray(np.arange(4))).dtype == np.float32
        assert F.softmax(logits).dtype == F.log_softmax(logits).dtype == np.float32
        distance = F.mse_loss(logits, logits + 400.0)  # whose square float16 does not hold
        assert (distance.dtype, round(distance.item(), -4)) == (np.float32, 160000.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_googlenet_has_nearly_the_loss_of_float32_and_gradients_for_float32_parameters(dtype: str) -> None:
    mg.manual_seed(0)
    model = GoogLeNet(num_classes=10)
    x, labels = mg.asarray(drawn(4, 3, 32, 32)), mg.asarray(np.arange(4))
    values = []
    for precision in (None, dtype):
        model.zero_grad()
        mg.manual_seed(1)  # the same dropout
        with mg.autocast(precision):
            value = loss(model(x), labels)
        value.backward()
        values.append(value.item())
        assert {p.grad.dtype for p in model.parameters()} == {np.dtype("float32")}
        assert all(np.isfinite(p.grad.numpy()).all() for p in model.parameters())
    # Roundings of some sixty layers in a row, of which batch normalisation keeps most from growing
    assert values[1] == pytest.approx(values[0], rel=8 * ROUNDING[dtype])


def test_nothing_else_changes_dtype() -> None:
    with mg.autocast("bfloat16"):
        assert (mg.ones(3) * 2).dtype == np.float32
        assert F.linear(mg.ones((2, 3), "float64"), mg.ones((4, 3), "float64")).dtype == np.float64
        with mg.autocast(None):
            assert F.linear(mg.ones((2, 3)), mg.ones((4, 3))).dtype == np.float32
    assert F.linear(mg.ones((2, 3)), mg.ones((4, 3))).dtype == np.float32


def test_another_dtype_is_refused() -> None:
    with pytest.raises(mg.DTypeError, match="float16, bfloat16, or None; got 'float64'"), mg.autocast("float64"):
        pass


# Copies that are made at once


class Net(mg.nn.Module):
    """Products of weights that are used once, twice, and outside of products."""

    def __init__(self) -> None:
        self.conv, self.fc = mg.nn.Conv2d(3, 8, 3), mg.nn.Linear(8, 8)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        y = self.conv(x).mean((2, 3))
        return self.fc(self.fc(y)).astype("float32").sum() + (self.fc.weight * self.fc.weight).sum()


def found(net: Net, x: mg.Tensor, dtype: str, at_once: bool) -> list[np.ndarray]:
    for parameter in net.parameters():
        parameter.grad = None
    with mg.autocast(dtype, net.parameters() if at_once else ()):
        value = net(x)
        value.backward()
    return [value.numpy(), *(p.grad.numpy() for p in net.parameters() if p.grad is not None)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_made_at_once_change_no_bit(dtype: str) -> None:
    net, x = Net(), mg.tensor(drawn(2, 3, 6, 6))
    one_by_one, at_once = (found(net, x, dtype, choice) for choice in (False, True))
    assert len(at_once) == 5 and all(gradient.dtype == np.float32 for gradient in at_once)
    np.testing.assert_equal(at_once, one_by_one)


def test_a_gradient_of_a_gradient_goes_through_the_copies() -> None:
    fc, x = mg.nn.Linear(4, 4), mg.tensor(drawn(2, 4))
    penalties = []
    for parameters in ((), fc.parameters()):
        with mg.autocast("bfloat16", parameters):
            (first,) = mg.grad((fc(x) * fc(x)).sum(), [fc.weight], create_graph=True)
            assert first.dtype == np.float32
            penalties.append(mg.grad((first * first).sum(), [fc.weight])[0].numpy())
    np.testing.assert_array_equal(*penalties)


def test_a_copy_of_numbers_that_changed_is_not_used() -> None:
    fc, x = mg.nn.Linear(4, 4, bias=False), mg.tensor(drawn(2, 4))
    optimizer = mg.optim.SGD(fc.parameters(), lr=1.0)
    with mg.autocast("bfloat16", fc.parameters()):
        fc(x).sum().backward()
        optimizer.step()
        stepped = fc(x).numpy()
        fc.weight.data = fc.weight.data * 2
        doubled = fc(x).numpy()
    with mg.autocast("bfloat16"):
        np.testing.assert_array_equal(fc(x).numpy(), doubled)
    np.testing.assert_array_equal(2 * stepped.astype(np.float32), doubled.astype(np.float32))


def test_to_assign_to_a_parameter_while_there_are_copies_is_refused() -> None:
    fc = mg.nn.Linear(4, 4)
    with mg.autocast("bfloat16", fc.parameters()), mg.no_grad(), pytest.raises(TypeError, match="autocast"):
        fc.weight[0] = 1.0
    with mg.no_grad():
        fc.weight[0] = 1.0
