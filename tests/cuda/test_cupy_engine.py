"""The engine on CuPy's arrays: on a stand-in that refuses what CuPy refuses (claims/fake_cupy.py), and on a GPU.

The latter where one answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from claims import fake_cupy
from claims.tiny import CLASSES, TinyNet
from claims.variants import without_compiler, without_gpu
from minigrad import models, nn, optim
from minigrad.device import DeviceError, choose, describe, library
from minigrad.kernels.registry import use_kernels
from minigrad.nn import functional as F
from minigrad.ops import indexing, linalg, reductions, shape
from minigrad.tensor import Tensor
from minigrad.train.checkpoint import read_resume, read_weights, write_resume, write_weights
from minigrad.train.evaluation import main_logits, to_numpy


@pytest.fixture(autouse=True, params=["stand-in", pytest.param("gpu", marks=[pytest.mark.gpu, without_gpu])])
def cupy(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "gpu":
        yield library("cuda")
    else:
        with fake_cupy.installed() as module:
            yield module


def numbers(*sizes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 2.0, sizes).astype(np.float32)


def assert_same_on_cuda(function: Callable[..., Tensor], *arrays: np.ndarray, variants: str = "reference") -> None:
    """`function` gives the same values and gradients on CUDA and on the CPU; everything stays on its device."""
    results, gradients = {}, {}
    for device in ("cpu", "cuda"):
        inputs = [mg.tensor(array, requires_grad=True, device=device) for array in arrays]
        with use_kernels(variants):
            y = function(*inputs)
            (y * y).sum().backward()
        assert y.device == device
        assert {x.grad.device for x in inputs} == {device}
        results[device], gradients[device] = y.numpy(), [x.grad.numpy() for x in inputs]
    # The same library computes on both sides; only orders in memory, and so orders of sums, may differ.
    np.testing.assert_allclose(results["cuda"], results["cpu"], rtol=1e-5, atol=1e-6)
    for ours, right in zip(gradients["cuda"], gradients["cpu"], strict=True):
        np.testing.assert_allclose(ours, right, rtol=1e-4, atol=1e-5)


ROWS = numbers(4, 6)
IMAGES = numbers(2, 4, 6, 6)
LABELS = np.array([0, 2, 1, 5])

OPERATIONS: dict[str, tuple[Callable[..., Tensor], tuple[np.ndarray, ...]]] = {
    "arithmetic": (lambda x, y: x * y - x / y + 2.0 - 3 * x + -y, (ROWS, numbers(6))),
    "numbers of NumPy": (lambda x: np.float32(2) * x + np.float64(1), (ROWS,)),
    "lists": (lambda x: x * [1, 2, 3, 4, 5, 6], (ROWS,)),
    "powers": (lambda x, y: x**2 + x**y + 2.0**y, (ROWS, numbers(4, 6, seed=1))),
    "exponentials": (lambda x: x.exp() + x.log() + x.sqrt() + x.tanh() + x.sigmoid(), (ROWS,)),
    "relu": (lambda x: F.relu(x - 1.0), (ROWS,)),
    "where": (lambda x: mg.where(x > 1.0, x, 0.5 * x), (ROWS,)),
    "clip": (lambda x: x.clip(0.8, 1.5), (ROWS,)),
    "maximum": (lambda x, y: mg.maximum(x, y), (ROWS, numbers(4, 6, seed=1))),
    "sums": (lambda x: x.sum(0) + x.mean(0) + x.max(0) + x.min(0) + x.prod(0), (ROWS,)),
    "variance": (lambda x: x.var(1) + x.std(1), (ROWS,)),
    "running sums": (lambda x: reductions.cumulative_sum(x, 1), (ROWS,)),
    "slices": (lambda x: x[1:, ::2] * x[0, 1] + x[..., None, 0][:3, :], (ROWS,)),
    "lists as indices": (lambda x: x[[0, 2, 0]], (ROWS,)),
    "arrays as indices": (lambda x: indexing.take(x, np.array([[0, 5], [1, 1]]), 1), (ROWS,)),
    "masks": (lambda x: x[np.arange(24).reshape(4, 6) % 5 == 0], (ROWS,)),
    "along an axis": (lambda x: indexing.take_along_axis(x, LABELS.reshape(4, 1), 1), (ROWS,)),
    "shapes": (lambda x: x.reshape(3, 8).T.squeeze()[None].transpose(2, 1, 0).flatten(), (ROWS,)),
    "flip and roll": (lambda x: shape.flip(shape.roll(x, (1, 2), (0, 1)), 1), (ROWS,)),
    "padding": (lambda x: shape.pad(x, ((1, 0), (2, 2)), constant_values=3.0), (ROWS,)),
    "reflection": (lambda x: shape.pad(x, 2, mode="reflect"), (ROWS,)),
    "concat and stack": (lambda x, y: shape.stack([shape.concat([x, y]), shape.concat([y, x])]), (ROWS, ROWS)),
    "products": (lambda x, y: linalg.einsum("ij,kj->ik", x, y) + linalg.tensordot(x, y, ([1], [1])), (ROWS, ROWS)),
    "einsum of three": (lambda x, y: linalg.einsum("ab,cb,ad->cd", x, y, x), (ROWS, ROWS)),
    "softmax": (lambda x: F.softmax(x, 1) + F.log_softmax(x, 0), (ROWS,)),
    "a cast there and back": (lambda x: x.astype("float16").astype("float32"), (ROWS,)),
    "broadcast": (lambda x: shape.broadcast_to(x, (3, 4, 6)), (ROWS,)),
    "convolution": (lambda x, w: F.conv2d(x, w, stride=2, padding=1), (IMAGES, numbers(8, 4, 3, 3))),
    "grouped convolution": (lambda x, w: F.conv2d(x, w, groups=2, dilation=2), (IMAGES, numbers(6, 2, 3, 3))),
    "max pooling": (lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), (IMAGES,)),
    "average pooling": (lambda x: F.avg_pool2d(x, 3, 2, 1) , (IMAGES,)),
    "adaptive pooling": (lambda x: F.adaptive_avg_pool2d(x, (4, 5)), (IMAGES,)),
    "batch norm": (lambda x, w: F.batch_norm(x, None, None, w, w, training=True, activation="relu"),
                   (IMAGES, numbers(4))),
    "response norm": (lambda x: F.local_response_norm(x, 3), (IMAGES,)),
    "dropout": (lambda x: F.dropout(x, 0.5, generator=mg.random.Generator(3)), (IMAGES,)),
    "interpolation": (lambda x: F.interpolate(x, (9, 5), mode="bilinear"), (IMAGES,)),
    "nearest": (lambda x: F.interpolate(x, (9, 5)), (IMAGES,)),
    "cross-entropy": (
        lambda x: F.cross_entropy(x, mg.tensor(LABELS, device=x.device), label_smoothing=0.1), (ROWS,),
    ),
    "weighted cross-entropy": (
        lambda x, w: F.cross_entropy(x, mg.tensor(LABELS, device=x.device), w), (ROWS, numbers(6)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_the_same_on_both_devices(name: str) -> None:
    function, arrays = OPERATIONS[name]
    assert_same_on_cuda(function, *arrays)


def step(model: nn.Module, images: np.ndarray, labels: np.ndarray, device: str) -> dict[str, np.ndarray]:
    """One step of SGD; the loss, and all weights afterwards."""
    model = model.to(device).train()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    x, targets = mg.asarray(images, device=device), mg.asarray(labels, device=device)
    loss = models.loss(model(x), targets)
    loss.backward()
    assert {p.grad.device for p in model.parameters() if p.grad is not None} == {device}
    optim.clip_grad_norm_(model.parameters(), 10.0)
    optimizer.step()
    return {"loss": loss.numpy(), **{name: value.numpy() for name, value in model.state_dict().items()}}


def assert_close(ours: dict[str, np.ndarray], right: dict[str, np.ndarray], tolerance: float) -> None:
    for name, expected in right.items():
        error = np.linalg.norm(np.float64(ours[name]) - expected)
        assert error <= tolerance * (np.linalg.norm(expected) + 1e-6), name


@without_compiler
@pytest.mark.parametrize("variants", ["reference", "auto"])
def test_a_small_network_takes_the_same_step(variants: str) -> None:
    images, labels = numbers(6, 3, 12, 12), np.array([0, 1, 2, 0, 1, 2])
    found = {}
    for device in ("cpu", "cuda"):
        mg.manual_seed(5)
        with use_kernels(variants if device == "cuda" else "reference"):
            found[device] = step(TinyNet(3), images, labels, device)
    assert_close(found["cuda"], found["cpu"], 1e-4)  # float32, sums of a few hundred in other orders


def test_googlenet_takes_the_same_step() -> None:
    images, labels = numbers(2, 3, 32, 32), np.array([1, 3])
    found = {}
    for device in ("cpu", "cuda"):
        mg.manual_seed(5)
        with use_kernels("reference"):
            found[device] = step(models.GoogLeNet(4, init_weights=False), images, labels, device)
    # Batch norm over two images of 1x1 pixels magnifies the rounding of sums in another order.
    assert_close(found["cuda"], found["cpu"], 1e-2)


# Bad input


def test_operands_on_two_devices_are_told_with_shapes_and_the_way_out() -> None:
    x, y = mg.ones((2, 3), device="cuda"), mg.ones(3)
    with pytest.raises(DeviceError, match=r"add: .*\(2, 3\) on cuda, \(3,\) on cpu.*\.to\('cpu'\)"):
        x + y
    with pytest.raises(DeviceError, match=r"Conv2d: .* on cuda, .* on cpu"):
        nn.Conv2d(3, 4, 3)(mg.ones((1, 3, 8, 8), device="cuda"))
    with pytest.raises(DeviceError, match=r"the gradient lies on cpu, the output on cuda"):
        (mg.ones(3, device="cuda", requires_grad=True) * 2).backward(mg.ones(3))


def test_an_index_out_of_bounds_is_an_error_though_cupy_would_wrap_around() -> None:
    x = mg.tensor(ROWS, device="cuda")
    with pytest.raises(IndexError, match="index 6 is out of bounds for axis 1 with size 6"):
        indexing.take(x, [0, 6], 1)
    with pytest.raises(IndexError, match="index -5 is out of bounds for axis 0"):
        x[mg.tensor([-5, 0], device="cuda")]


def test_too_little_memory_in_words_is_one_line_that_names_the_batch_size(cupy: Any) -> None:
    from minigrad.cli import explain

    line, status = explain(cupy.cuda.memory.OutOfMemoryError("Out of memory allocating 1,024 bytes"))
    assert "1,024 bytes" in line and "--batch-size" in line and status == 1


# The way in and out


def test_auto_takes_the_gpu_and_says_which() -> None:
    assert choose("auto") == "cuda"
    assert re.fullmatch(r"cuda \(.+, \d+ GiB\)", describe("cuda"))


def test_a_transfer_keeps_channels_last_both_ways() -> None:
    images = numbers(2, 5, 4, 3).transpose(0, 3, 1, 2)
    there = mg.asarray(images, device="cuda")
    assert there.data.strides == images.strides
    assert there.to("cpu").data.strides == images.strides
    np.testing.assert_array_equal(there.numpy(), images)


def test_an_array_on_the_left_keeps_the_tensor_on_the_tape(cupy: Any) -> None:
    x = mg.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    y = cupy.asarray(np.float32([3, 4])) * x
    assert isinstance(y, Tensor)
    y.sum().backward()
    assert x.grad.tolist() == [3, 4]


def test_assignment_takes_values_and_indices_of_the_host() -> None:
    x = mg.zeros((3, 2), device="cuda")
    x[np.array([0, 2])] = np.array([[1, 2], [3, 4]], np.float32)
    x[1, 0] = 7
    np.testing.assert_array_equal(x.numpy(), [[1, 2], [7, 0], [3, 4]])


def test_it_reads_as_a_tensor_on_cuda() -> None:
    assert repr(mg.tensor([1.0, 2.0], device="cuda")) == "tensor([1., 2.], device='cuda')"


def test_arrays_of_other_libraries_are_shared(cupy: Any) -> None:
    class Foreign:
        """Another library's array on the GPU."""

        def __init__(self) -> None:
            self.array = cupy.arange(3.0)

        @property
        def __cuda_array_interface__(self) -> dict[str, Any]:
            return self.array.__cuda_array_interface__

    foreign = Foreign()
    shared = mg.asarray(foreign)
    assert shared.device == "cuda"
    foreign.array[0] = 9
    assert shared.tolist() == [9, 1, 2]
    x = mg.tensor([1.0, 2.0], device="cuda")
    y = mg.from_dlpack(x)
    y[0] = 5.0
    assert x.tolist() == [5, 2] and x.__dlpack_device__() == (2, 0)


def test_choices_of_bfloat16_stay_bfloat16() -> None:
    x = mg.tensor(ROWS - 1, device="cuda").astype("bfloat16")
    for y in (mg.where(x > 0.0, x, 0.0), mg.where(x > 0.0, x, x * 2), x.clip(0.0, 0.5), F.relu(x)):
        assert y.dtype == x.dtype
    x.requires_grad = True
    F.relu(x).sum().backward()
    assert x.grad.dtype == x.dtype and x.grad.astype("float32").numpy().sum() == (ROWS > 1).sum()


def test_gradients_share_no_memory_with_each_other() -> None:
    x = mg.ones(3, device="cuda", requires_grad=True)
    y = mg.ones(3, device="cuda", requires_grad=True)
    (x + y).sum().backward()
    x.grad.data[...] = 5  # as an optimiser may
    assert y.grad.tolist() == [1, 1, 1]
    assert x.grad.tolist() == [5, 5, 5]


def test_a_change_in_place_through_a_view_is_noticed() -> None:
    x = mg.ones(3, device="cuda", requires_grad=True) * 2
    view = x.detach()[:2]
    y = x * x
    with pytest.raises(TypeError, match="cannot assign"):
        view[0] = 3.0
    y.sum().backward()


def test_checkpoints_go_from_cuda_to_the_cpu_and_back(tmp_path: Path) -> None:
    model = TinyNet(len(CLASSES)).to("cuda")
    optimizer = optim.Adam(model.parameters())
    average = optim.ExponentialMovingAverage(model)
    with use_kernels("reference"):
        models.loss(model(mg.asarray(numbers(4, 3, 12, 12), device="cuda")), mg.tensor([0, 1, 2, 0], device="cuda")
                    ).backward()  # fmt: skip
        optimizer.step()
    average.update()
    state = {"optimizer": optimizer.state_dict(), "average": average.state_dict()}
    write_resume(tmp_path / "resume", state)
    write_weights(tmp_path / "weights", model.state_dict(), {})
    read = read_resume(tmp_path / "resume")
    for device in ("cuda", "cpu"):
        other = TinyNet(len(CLASSES)).to(device)
        other.load_state_dict(read_weights(tmp_path / "weights")[0])
        again, mean = optim.Adam(other.parameters()), optim.ExponentialMovingAverage(other)
        again.load_state_dict(read["optimizer"])
        mean.load_state_dict(read["average"])
        write_resume(tmp_path / "again", {"optimizer": again.state_dict(), "average": mean.state_dict()})
        np.testing.assert_equal(read_resume(tmp_path / "again"), read)
    model.load_state_dict(model.state_dict())
    optimizer.load_state_dict(optimizer.state_dict())


def test_evaluation_reads_logits_on_the_host() -> None:
    with use_kernels("reference"):
        logits = to_numpy(main_logits(TinyNet(3).to("cuda").eval()(mg.zeros((2, 3, 12, 12), device="cuda"))))
    assert type(logits) is np.ndarray and logits.shape == (2, 3)
