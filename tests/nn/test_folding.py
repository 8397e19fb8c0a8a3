"""Convolution and batch normalisation folded into one give what the two layers give, and notice every change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.inspect import timer
from minigrad.kernels.cpu.fingerprint import fingerprint
from minigrad.nn import BatchNorm2d, Conv2d, conv_batch_norm

# Folding rounds each weight once more, 6e-8; a sum of 27 or 36 such products errs by no more than some of them.
TOLERANCES = {"float32": 1e-6, "float64": 1e-14}

GENERATOR = np.random.default_rng(0)


def unit(dtype: str = "float32", channels: int = 12, norm: dict[str, Any] | None = None, **conv: Any) -> Any:
    """A convolution and a normalisation with statistics of some data, in evaluation."""
    layers = Conv2d(4, channels, 3, **conv), BatchNorm2d(channels, **(norm or {}))
    for layer in layers:
        layer.to(dtype=dtype).eval()
        for tensor in (*layer.parameters(), *layer.buffers()):
            if tensor.dtype == np.dtype(dtype):
                tensor.data[...] = GENERATOR.uniform(0.5, 2, tensor.shape)
    return layers


def images(dtype: str = "float32") -> mg.Tensor:
    return mg.tensor(GENERATOR.standard_normal((2, 4, 9, 8)), dtype=dtype)


def apart(conv: Conv2d, norm: BatchNorm2d, x: mg.Tensor) -> np.ndarray:
    return norm(conv(x)).numpy()


def operations(conv: Conv2d, norm: BatchNorm2d, x: mg.Tensor) -> set[str]:
    """The names of the operations that the unit is carried out as."""
    with timer() as times:
        conv_batch_norm(conv, norm, x)
    return {line.split()[0] for line in times.table().splitlines()[1:-1]}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("conv", "norm"),
    [
        ({}, {}),
        ({"bias": False, "padding": 1}, {"activation": "relu"}),
        ({"stride": 2, "padding": (1, 2), "groups": 2}, {"affine": False, "activation": "relu"}),
        ({"padding": "same", "dilation": 2}, {"eps": 0.1}),
    ],
)
def test_folded_is_what_the_two_layers_give(dtype: str, conv: dict[str, Any], norm: dict[str, Any]) -> None:
    layers, x = unit(dtype, norm=norm, **conv), images(dtype)
    with mg.no_grad():
        expected, found = apart(*layers, x), conv_batch_norm(*layers, x).numpy()
    assert found.dtype == dtype
    assert np.linalg.norm(found - expected) <= TOLERANCES[dtype] * np.linalg.norm(expected)


def test_folded_is_one_operation() -> None:
    layers, x = unit(norm={"activation": "relu"}), images()
    with mg.no_grad():
        assert operations(*layers, x) == {"Conv2dReLU"}


@pytest.mark.parametrize("variant", ["reference", "im2col", "direct", "winograd"])
def test_the_kernels_that_were_asked_for_run(variant: str) -> None:
    layers, x = unit(norm={"activation": "relu"}), images()
    with mg.no_grad(), mg.use_kernels(conv2d=variant):
        expected, found = apart(*layers, x), conv_batch_norm(*layers, x).numpy()
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


CHANGES: dict[str, Callable[[Conv2d, BatchNorm2d], None]] = {
    "one weight": lambda conv, norm: conv.weight.data.__setitem__((3, 2, 1, 0), 7.0),
    "weights exchanged": lambda conv, norm: conv.weight.data.__setitem__(
        slice(None), conv.weight.data[::-1].copy()
    ),
    "weights doubled": lambda conv, norm: conv.weight.data.__imul__(2),
    "bias": lambda conv, norm: conv.bias.data.__iadd__(1),
    "scale negated": lambda conv, norm: norm.weight.data.__imul__(-1),
    "shift": lambda conv, norm: norm.bias.data.__iadd__(1),
    "running mean": lambda conv, norm: norm.running_mean.data.__iadd__(1),
    "running variance": lambda conv, norm: norm.running_var.data.__imul__(3),
    "eps": lambda conv, norm: setattr(norm, "eps", 0.5),
    "loaded": lambda conv, norm: conv.load_state_dict({"weight": np.ones((12, 4, 3, 3)), "bias": np.ones(12)}),
    "trained": lambda conv, norm: train_a_step(conv, norm),
}


def train_a_step(conv: Conv2d, norm: BatchNorm2d) -> None:
    norm.train()
    with mg.set_grad_enabled(True):
        (norm(conv(images())) ** 2).mean().backward()
    mg.optim.SGD([*conv.parameters(), *norm.parameters()], lr=0.1).step()
    norm.eval()


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_any_number_is_noticed(change: str) -> None:
    layers, x = unit(), images()
    with mg.no_grad():
        before = conv_batch_norm(*layers, x).numpy()
        CHANGES[change](*layers)
        expected, found = apart(*layers, x), conv_batch_norm(*layers, x).numpy()
    assert np.linalg.norm(found - before) > 1e-3 * np.linalg.norm(before)
    assert np.linalg.norm(found - expected) <= 1e-6 * np.linalg.norm(expected)


def test_gradients_hooks_and_training_keep_the_layers_apart() -> None:
    (conv, norm), x = unit(norm={"activation": "relu"}), images()
    apart_operations = {"Conv2d", "BatchNormEvaluation"}
    assert operations(conv, norm, x) == apart_operations  # the weights want gradients
    with mg.no_grad():
        with conv.register_forward_hook(lambda module, inputs, output: None):
            assert operations(conv, norm, x) == apart_operations
        norm.train()
        assert operations(conv, norm, x) == {"Conv2d", "BatchNormTraining"}


def test_what_the_layers_refuse_is_refused_in_the_same_words() -> None:
    (conv, norm), x = unit(), images("float64")
    with mg.no_grad():
        with pytest.raises(mg.DTypeError) as together:
            conv_batch_norm(conv, norm, x)
        with pytest.raises(mg.DTypeError) as alone:
            norm(conv(x))
    assert str(together.value) == str(alone.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 5000])
def test_a_fingerprint_is_of_the_values_and_their_order(dtype: str, size: int) -> None:
    values = GENERATOR.standard_normal(size).astype(dtype)
    assert fingerprint(values) == fingerprint(np.repeat(values, 2)[::2])
    if size > 1:
        assert fingerprint(values) != fingerprint(values[::-1])
        assert fingerprint(values) != fingerprint(-values)
        assert fingerprint(values) != fingerprint(2 * values)
        assert fingerprint(values) != fingerprint(np.roll(values, 1024 % size or 1))
    for position in {0, size // 2, size - 1} if size else set():
        changed = values.copy()
        changed[position] = np.nextafter(changed[position], np.inf)
        assert fingerprint(changed) != fingerprint(values)
