"""Convolution and batch normalisation folded into one give what the two layers give, and notice every change."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from claims.variants import without_compiler
from minigrad.inspect import timer
from minigrad.kernels import conv2d
from minigrad.kernels.cpu.fingerprint import fingerprint
from minigrad.kernels.cpu.watch import Watch
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


@pytest.mark.parametrize("device", ["cpu", pytest.param("emulated", marks=without_compiler)])
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
def test_folded_is_what_the_two_layers_give(
    device: str, dtype: str, conv: dict[str, Any], norm: dict[str, Any]
) -> None:
    layers, x = [layer.to(device) for layer in unit(dtype, norm=norm, **conv)], images(dtype).to(device)
    with mg.no_grad():
        expected, found = apart(*layers, x), conv_batch_norm(*layers, x).numpy()
    assert found.dtype == dtype
    assert np.linalg.norm(found - expected) <= TOLERANCES[dtype] * np.linalg.norm(expected)


@pytest.mark.parametrize("device", ["cpu", pytest.param("emulated", marks=without_compiler)])
def test_folded_is_one_operation(device: str) -> None:
    layers, x = [layer.to(device) for layer in unit(norm={"activation": "relu"})], images().to(device)
    with mg.no_grad():
        assert operations(*layers, x) == {"Conv2dReLU"}


@without_compiler
def test_on_a_gpu_units_fold_in_mixed_precision_too() -> None:
    layers, x = [layer.to("emulated") for layer in unit(norm={"activation": "relu"})], images().to("emulated")
    with mg.no_grad(), mg.autocast("bfloat16"):
        assert "Conv2dReLU" in operations(*layers, x)
        found = conv_batch_norm(*layers, x).astype("float32").numpy()
    with mg.no_grad():
        expected = apart(*layers, x)
    # Images, filters and results are rounded to 8 bits of mantissa, 2^-9 each.
    assert np.linalg.norm(found - expected) <= 3 * 2**-9 * np.linalg.norm(expected)


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
        (norm(conv(images().to(conv.weight.device))) ** 2).mean().backward()
    mg.optim.SGD([*conv.parameters(), *norm.parameters()], lr=0.1).step()
    norm.eval()


@pytest.mark.parametrize("device", ["cpu", pytest.param("emulated", marks=without_compiler)])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_any_number_is_noticed(change: str, device: str) -> None:
    layers, x = [layer.to(device) for layer in unit()], images().to(device)
    with mg.no_grad():
        before = conv_batch_norm(*layers, x).numpy()
        CHANGES[change](*layers)
        expected, found = apart(*layers, x), conv_batch_norm(*layers, x).numpy()
    assert np.linalg.norm(found - before) > 1e-3 * np.linalg.norm(before)
    assert np.linalg.norm(found - expected) <= 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("choice", [{"conv2d_forward": "winograd"}, {"conv2d_forward_relu": "reference"}])
def test_a_kernel_asked_for_by_name_is_never_replaced(choice: dict[str, str]) -> None:
    layers, x = unit(norm={"activation": "relu"}), images()
    (variant,) = choice.values()
    others = [v for v in conv2d.forward_relu.variants.values() if v.name != variant]
    with ExitStack() as stack:
        for other in others:  # whoever else is called has nothing to call
            stack.callback(object.__setattr__, other, "function", other.function)
            object.__setattr__(other, "function", None)
        with mg.no_grad(), mg.use_kernels(**choice):
            conv_batch_norm(*layers, x)


def test_a_normalisation_asked_for_by_name_runs_by_itself() -> None:
    layers, x = unit(), images()
    with mg.no_grad(), mg.use_kernels(batch_norm="reference"):
        assert operations(*layers, x) == {"Conv2d", "BatchNormEvaluation"}


def test_layers_with_a_forward_of_their_own_keep_it() -> None:
    class Doubled(BatchNorm2d):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return super().forward(x) * 2

    conv, x = Conv2d(4, 12, 3), images()
    with mg.no_grad():
        for norm in (Doubled(12).eval(), mg.nn.Identity()):
            np.testing.assert_array_equal(conv_batch_norm(conv, norm, x).numpy(), norm(conv(x)).numpy())


def test_where_a_number_moves_from_one_layer_to_the_other_is_noticed() -> None:
    (conv, norm), x, moved = unit(), images(), mg.nn.Parameter(np.full(12, 3, np.float32))
    with mg.no_grad():
        conv.bias, norm.bias, norm.weight = None, None, moved
        conv_batch_norm(conv, norm, x)
        norm.weight, norm.bias = None, moved
        expected, found = apart(conv, norm, x), conv_batch_norm(conv, norm, x).numpy()
    assert np.linalg.norm(found - expected) <= 1e-6 * np.linalg.norm(expected)


def test_units_of_16_bits_are_not_folded() -> None:
    (conv, norm), x = (layer.to(dtype="float16") for layer in unit(channels=3)), images().astype("float16")
    with mg.no_grad():
        np.testing.assert_array_equal(conv_batch_norm(conv, norm, x).numpy(), norm(conv(x)).numpy())


def test_an_infinity_that_relu_would_hide_is_reported() -> None:
    (conv, norm), x = unit(norm={"activation": "relu"}), images()
    conv.weight.data[...] = -3e38
    with (
        mg.no_grad(),
        mg.detect_anomaly(),
        np.errstate(all="ignore"),
        pytest.raises(mg.AnomalyError, match="Conv2d"),
    ):
        conv_batch_norm(conv, norm, x)


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
    if size == 5000:
        values[:] = 0  # ones that change places: a filter that takes another channel
        prints = set()
        for positions in np.stack([GENERATOR.permutation(4) for _ in range(100)]):
            values[:16] = np.eye(4)[positions].reshape(-1)
            prints.add((fingerprint(values), tuple(positions)))
        assert len({number for number, _ in prints}) == len({positions for _, positions in prints})
    for position in {0, size // 2, size - 1} if size else set():
        changed = values.copy()
        changed[position] = np.nextafter(changed[position], np.inf)
        assert fingerprint(changed) != fingerprint(values)


@pytest.mark.parametrize("lie", [np.ascontiguousarray, np.asfortranarray])
def test_a_watch_sees_a_change_until_it_is_undone(lie: Callable[..., np.ndarray]) -> None:
    watched = [lie(np.zeros((300, 200))), lie(np.zeros((2, 3), np.float32))]
    watch = Watch(watched)
    assert not watch.sees_change()
    for array, place in ((watched[0], (299, 199)), (watched[1], (1, 2))):
        array[place] = 1
        assert watch.sees_change()
        array[place] = 0
        assert not watch.sees_change()


def test_a_parameter_that_is_replaced_by_another_is_noticed() -> None:
    (conv, norm), x = unit(), images()
    with mg.no_grad():
        conv_batch_norm(conv, norm, x)
        norm.weight, norm.bias = norm.bias, norm.weight
        expected, found = apart(conv, norm, x), conv_batch_norm(conv, norm, x).numpy()
    assert np.linalg.norm(found - expected) <= 1e-6 * np.linalg.norm(expected)
