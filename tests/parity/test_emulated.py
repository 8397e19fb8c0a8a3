"""GoogLeNet trained by the CUDA kernels, in the emulator, is GoogLeNet trained on the CPU."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest

import minigrad as mg
from claims.variants import without_compiler
from minigrad import models
from minigrad.kernels.registry import Operation
from minigrad.kernels.variant import Variant
from minigrad.models.googlenet import loss
from minigrad.optim import SGD

pytestmark = without_compiler

# Pixels: the least that either network can take.
SIZES = {"googlenet": 32, "googlenet-paper": 64}
# float64: what rounding (1e-16) makes of the sums of a layer in another order, amplified by 22 layers and by batch
# norms over the two numbers that a channel of the last ones has here. 1e-12 is measured.
TOLERANCE = 1e-10


def trained(
    name: str, device: str, dtype: str = "float64", precision: str | None = None
) -> tuple[dict[str, dict[str, np.ndarray]], list[tuple[str, Variant, str]]]:
    """What one step with dropout, momentum and weight decay leaves, by part and name, and which kernels ran it."""
    ran: list[tuple[str, Variant, str]] = []
    select = Operation.select

    def noted(operation: Operation, problem: Any, on: str) -> Variant:
        variant = select(operation, problem, on)
        ran.append((operation.name, variant, on))
        return variant

    mg.random.manual_seed(0)
    model = models.build(name, num_classes=10).to(dtype=dtype).to(device)
    images = np.random.default_rng(0).standard_normal((2, 3, SIZES[name], SIZES[name])).astype(dtype)
    x, labels = mg.tensor(images, device=device), mg.tensor([1, 7], device=device)
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    with mock.patch.object(Operation, "select", noted):
        with mg.autocast(precision):
            value = loss(model(x), labels)
        value.backward()
        gradients = {path: parameter.grad.numpy().copy() for path, parameter in model.named_parameters()}
        optimizer.step()
        with mg.no_grad():
            logits = model.eval()(x)
    parts = {
        "loss": {"loss": value.numpy()},
        "gradients": gradients,
        "weights": {path: parameter.numpy() for path, parameter in model.named_parameters()},
        "statistics": {path: buffer.numpy() for path, buffer in model.named_buffers()},
        "evaluation": {"logits": logits.numpy()},
    }
    return parts, ran


@pytest.mark.parametrize("name", ["googlenet", pytest.param("googlenet-paper", marks=pytest.mark.slow)])
def test_a_training_step_is_the_cpus_and_made_by_cuda_kernels(name: str) -> None:
    ours, ran = trained(name, "emulated")
    right, _ = trained(name, "cpu")
    assert {on for _, _, on in ran} == {"emulated"}
    assert not {(operation, variant.name) for operation, variant, _ in ran if variant.device != "cuda"}
    for part, arrays in right.items():
        assert ours[part].keys() == arrays.keys()
        errors = {path: np.linalg.norm(ours[part][path] - x) / np.linalg.norm(x) for path, x in arrays.items()}
        assert not {path: error for path, error in errors.items() if not error <= TOLERANCE}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_step_in_mixed_precision_is_made_by_cuda_kernels_of_16_bits(precision: str) -> None:
    parts, ran = trained("googlenet", "emulated", "float32", precision)
    assert not {(operation, variant.name) for operation, variant, _ in ran if variant.device != "cuda"}
    right = trained("googlenet", "cpu", "float32")[0]["loss"]["loss"]
    # bfloat16 rounds each activation by up to 2^-9, and 22 layers add up; 3e-3 is measured. Gradients are not
    # compared: through batch norms over two numbers a channel they are differences of what rounding leaves.
    assert abs(parts["loss"]["loss"] / right - 1) < 0.02
    for part in ("gradients", "weights", "statistics"):
        for path, array in parts[part].items():
            assert np.isfinite(array).all(), path
            assert array.dtype in (np.float32, np.int64), path
