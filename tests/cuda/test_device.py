"""The device "emulated": as contagious as a GPU's arrays, and usable from tensors and modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from claims.variants import without_compiler
from minigrad import nn
from minigrad.device import DeviceError
from minigrad.kernels import concat, pool2d
from minigrad.kernels.arrays import array_module, device_of
from minigrad.kernels.cuda import compiler
from minigrad.kernels.cuda import emulated_numpy as xp
from minigrad.kernels.errors import KernelError
from minigrad.kernels.registry import use_kernels

pytestmark = without_compiler


def values() -> Any:
    return xp.array(np.arange(24.0).reshape(2, 3, 4))


@pytest.mark.parametrize(
    "make",
    [
        lambda np_, x: x[1],
        lambda np_, x: x[1, 2, 3],
        lambda np_, x: x.T,
        lambda np_, x: x.reshape(-1).astype(np.float32),
        lambda np_, x: 1 - x,
        lambda np_, x: np.arange(4.0) * x,
        lambda np_, x: x.sum(),
        lambda np_, x: x.max(axis=1),
        lambda np_, x: np.where(x > 3, x, 0),
        lambda np_, x: np.concatenate([x, x]),
        lambda np_, x: np_.zeros((3, 2)),
        lambda np_, x: np_.broadcast_to(x, (5, 2, 3, 4)),
        lambda np_, x: np_.stack([x, x])[0],
        lambda np_, x: np_.matmul(x, x.transpose(0, 2, 1)),
        lambda np_, x: np_.pad(x, 1),
        lambda np_, x: np_.linspace(0, 1, 5),
    ],
)
def test_whatever_numpy_makes_of_an_emulated_array_is_one(make: Callable[[Any, Any], Any]) -> None:
    x = values()
    made = make(array_module(x), x)
    assert device_of(made) == "emulated"
    np.testing.assert_array_equal(made, make(np, x.get()))


def test_get_is_a_copy_on_the_cpu() -> None:
    x = values()
    copy = x.get()
    copy[...] = 0
    assert type(copy) is np.ndarray
    assert x.sum() == np.arange(24).sum()


def test_creation_keeps_channels_last() -> None:
    x = np.zeros((2, 5, 4, 3)).transpose(0, 3, 1, 2)
    assert xp.asarray(x).strides == x.strides


def test_tensors_go_there_and_back_and_so_do_gradients() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x.to("emulated") * mg.full(2, 3.0, device="emulated")
    assert (y.device, y.to("cpu").device) == ("emulated", "cpu")
    y.sum().to("cpu").backward()
    assert x.grad is not None and x.grad.device == "cpu"
    np.testing.assert_array_equal(x.grad.numpy(), [3, 3])


def test_a_module_goes_there_with_its_gradients() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.MaxPool2d(2)).to("emulated")
    x = mg.tensor(np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32), device="emulated")
    y = module(x)
    (y * y).sum().backward()
    assert {p.device for p in module.parameters()} == {p.grad.device for p in module.parameters()} == {"emulated"}
    on_cpu = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.MaxPool2d(2))
    on_cpu.load_state_dict({name: value.to("cpu") for name, value in module.state_dict().items()})
    on_cpu[1].running_mean.data[...] = 0
    # float32: two orders of the same sums
    np.testing.assert_allclose(on_cpu(x.to("cpu")).numpy(), y.numpy(), rtol=1e-5, atol=1e-5)


def test_cuda_variants_run_there_and_cpu_variants_do_not() -> None:
    problem = pool2d.Pool2dProblem((1, 4, 4, 4), (2, 2), (2, 2))
    assert pool2d.max_forward.select(problem, "emulated").device == "cuda"
    x = xp.zeros(problem.shape, np.float32)
    with (
        use_kernels(max_pool2d_forward="channels_last"),
        pytest.raises(KernelError, match="arrays are on emulated"),
    ):
        pool2d.max_forward(problem, x)


def test_adjacent_slices_of_one_emulated_buffer_are_joined_without_a_copy() -> None:
    buffer = xp.array(np.random.default_rng(0).standard_normal((2, 5, 6, 32)).astype(np.float32)).transpose(
        0, 3, 1, 2
    )
    parts = buffer[:, :8], buffer[:, 8:20], buffer[:, 20:]
    problem = concat.ConcatProblem(tuple(part.shape for part in parts), 1)
    joined = concat.forward(problem, parts)
    assert (joined.ctypes.data, joined.strides) == (buffer.ctypes.data, buffer.strides)
    assert device_of(joined) == "emulated"
    gap = concat.ConcatProblem((parts[0].shape, parts[2].shape), 1)
    copied = concat.forward(gap, (parts[0], parts[2]))
    assert not np.shares_memory(copied, buffer)
    np.testing.assert_array_equal(copied, np.concatenate([parts[0], parts[2]], 1))


def test_without_a_compiler_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert compiler.obstacle() is not None
    with pytest.raises(DeviceError, match=r"device 'emulated': .* there is no 'no-such-compiler'"):
        mg.tensor([1.0], device="emulated")
