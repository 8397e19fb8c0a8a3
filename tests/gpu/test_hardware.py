"""What only a GPU can show: training, memory that runs out, launches that fail, other libraries' arrays, graphs.

The properties of all kernels and of the engine run on a GPU from their own files: `pytest -m gpu` finds them all.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from claims.tiny import TinyNet
from claims.variants import without_gpu
from minigrad import models, nn, optim
from minigrad.device import library
from minigrad.kernels.arrays import on_host
from minigrad.kernels.cuda.launch import CudaSource
from minigrad.kernels.errors import KernelError
from minigrad.nn import functional as F

on_stand_in = os.environ.get("MINIGRAD_GPU_TESTS") == "stand-in"
hardware_only = pytest.mark.skipif(on_stand_in, reason="the stand-in for CuPy does not have it, or takes minutes")
pytestmark = [pytest.mark.gpu, without_gpu]


def images(*sizes: int) -> np.ndarray:
    n, c, h, w = sizes
    return np.random.default_rng(0).standard_normal((n, h, w, c), np.float32).transpose(0, 3, 1, 2)


def state_after_steps(
    model: nn.Module, device: str, size: int, steps: int, dtype: str | None = None
) -> dict[str, np.ndarray]:
    """The losses of `steps` steps of SGD, and all weights after them."""
    model = model.to(device).train()
    optimizer = optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    x, targets = mg.asarray(images(4, 3, size, size), device=device), mg.tensor([0, 1, 2, 1], device=device)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        with mg.autocast(dtype):
            loss = models.loss(model(x), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"losses": np.array(losses), **{name: value.numpy() for name, value in model.state_dict().items()}}


def assert_close(ours: dict[str, np.ndarray], right: dict[str, np.ndarray], tolerance: float) -> None:
    """By norm of each array."""
    for name, expected in right.items():
        error = np.linalg.norm(ours[name].astype(np.float64) - expected)
        assert error <= tolerance * (np.linalg.norm(expected) + 1e-6), name


@hardware_only
def test_googlenet_learns_as_on_the_cpu() -> None:
    found = {}
    for device in ("cpu", "cuda"):
        mg.manual_seed(3)
        model = models.GoogLeNet(3, init_weights=False, dropout=0.0, dropout_aux=0.0)
        found[device] = state_after_steps(model, device, 64, 2)
    # float32 through 57 convolutions, whose last batch norms see 16 numbers: the same kernels in the emulator part
    # from the CPU's by 1.3e-3, and a GPU fuses other multiplications and additions.
    assert_close(found["cuda"], found["cpu"], 5e-3)
    np.testing.assert_allclose(found["cuda"]["losses"], found["cpu"]["losses"], rtol=5e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bits_stay_near_float32(dtype: str) -> None:
    found = {}
    for precision in (None, dtype):
        mg.manual_seed(3)
        found[precision] = state_after_steps(TinyNet(3), "cuda", 12, 3, precision)
    # Activations of 8 digits (bfloat16) in sums of some tens: the loss keeps two decimal digits.
    np.testing.assert_allclose(found[dtype]["losses"], found[None]["losses"], rtol=3e-2)


def test_two_runs_give_the_same_bits() -> None:
    found = []
    for _ in range(2):
        mg.manual_seed(3)
        found.append(state_after_steps(TinyNet(3), "cuda", 12, 3))
    for name, values in found[0].items():
        assert values.tobytes() == found[1][name].tobytes(), name


def test_dropout_draws_the_numbers_of_the_cpu() -> None:
    x = images(2, 8, 5, 7)
    masks = [F.dropout(mg.asarray(x, device=d), 0.4, generator=mg.random.Generator(9, 5)).numpy() for d in
             ("cpu", "cuda")]  # fmt: skip
    np.testing.assert_array_equal(*masks)


@hardware_only
def test_too_little_memory_is_told_and_nothing_is_lost() -> None:
    kept = mg.ones(3, device="cuda")
    free, _ = library("cuda").cuda.runtime.memGetInfo()
    with pytest.raises(MemoryError, match=r"[Oo]ut of memory"):
        mg.zeros(2 * free, np.uint8, device="cuda")
    assert (kept + 1).tolist() == [2, 2, 2]


@hardware_only
def test_a_kernel_that_does_not_compile_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.cu"
    path.write_text('extern "C" __global__ void broken(int* y) {\n    y[0] = nowhere;\n}\n')
    kernel = CudaSource(str(path)).kernel("broken")
    with pytest.raises(KernelError, match=r'broken\.cu\(2\): error: identifier "nowhere" is undefined'):
        kernel((1,), (32,), library("cuda").zeros(1, np.int32))


@hardware_only
def test_more_shared_memory_than_there_is_is_told(tmp_path: Path) -> None:
    path = tmp_path / "greedy.cu"
    path.write_text('extern "C" __global__ void greedy(int* y) {\n    y[0] = 1;\n}\n')
    y = library("cuda").zeros(1, np.int32)
    kernel = CudaSource(str(path)).kernel("greedy")
    with pytest.raises(KernelError, match="kernel greedy was not launched"):
        kernel((1,), (32,), y, shared_bytes=1 << 20)
    kernel((1,), (32,), y)
    assert int(y[0]) == 1


def torch_on_a_gpu() -> Any:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this PyTorch is not built for a GPU")
    return torch


@hardware_only
def test_arrays_go_to_pytorch_and_back_without_a_copy() -> None:
    torch = torch_on_a_gpu()
    theirs = torch.arange(6.0, device="cuda").reshape(2, 3)
    for ours in (mg.from_dlpack(theirs), mg.asarray(theirs)):
        assert ours.device == "cuda" and ours.data.data.ptr == theirs.data_ptr()
    x = mg.tensor([1.0, 2.0], device="cuda")
    for back in (torch.from_dlpack(x), torch.as_tensor(x, device="cuda")):
        assert back.data_ptr() == x.data.data.ptr and back.tolist() == [1, 2]


@hardware_only
def test_a_forward_pass_is_captured_as_a_graph_and_replayed() -> None:
    """On values that were not there when it was captured."""
    cupy = library("cuda")
    model = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.MaxPool2d(2))
    model = model.to("cuda").eval()
    x = mg.asarray(images(2, 8, 8, 8), device="cuda")
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream, mg.no_grad():
        model(x)  # compiles the kernels, and makes the memory pool as large as it has to be
        stream.synchronize()
        stream.begin_capture()
        y = model(x)
        graph = stream.end_capture()
        x.data[...] = x.data * 2 + 1
        graph.launch(stream=stream)
        stream.synchronize()
        replayed = on_host(y.data)
        right = model(x).numpy()
    np.testing.assert_array_equal(replayed, right)
