"""In training, a convolution that finds the moments of what it writes spares batch norm the pass over it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from claims.variants import without_compiler
from minigrad.kernels.batch_norm import cpu as batch_norm_on_cpu
from minigrad.kernels.cuda.launch import launch_listeners
from minigrad.kernels.registry import use_kernels
from minigrad.models import BasicConv2d
from minigrad.tensor import Tensor

GENERATOR = np.random.default_rng(0)


def images(device: str = "cpu", dtype: str = "float32") -> Tensor:
    return mg.tensor(GENERATOR.standard_normal((2, 8, 9, 8)), dtype=dtype, device=device, requires_grad=True)


def step(unit: BasicConv2d, x: Tensor, apart: bool) -> list[np.ndarray]:
    """Result, gradients and running statistics of a step, of the two layers one after the other if `apart`."""
    for tensor in (x, *unit.parameters()):
        tensor.grad = None
    unit.bn.running_mean.data[...], unit.bn.running_var.data[...] = 0, 1
    y = unit.bn(unit.conv(x)) if apart else unit(x)
    (y * y).sum().backward()
    found = (y, x.grad, *(p.grad for p in unit.parameters()), unit.bn.running_mean, unit.bn.running_var)
    return [np.array(tensor.numpy()) for tensor in found]


def assert_close(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> None:
    for array, right in zip(found, expected, strict=True):
        assert np.linalg.norm(array - right) <= tolerance * np.linalg.norm(right)


@without_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_on_a_gpu_the_convolution_finds_them(dtype: str) -> None:
    unit, x = BasicConv2d(8, 12, 3, padding=1).to("emulated", dtype), images("emulated", dtype)
    launched: list[str] = []

    def listen(kernel: Any, *sizes: Any) -> None:
        launched.append(kernel.name)

    launch_listeners.append(listen)
    try:
        found = step(unit, x, apart=False)
    finally:
        launch_listeners.remove(listen)
    assert "convolve_with_moments" in launched
    assert "moments" not in launched
    # Moments of tiles are merged in another order than those of segments.
    assert_close(found, step(unit, x, apart=True), {"float32": 1e-5, "float64": 1e-13}[dtype])


@pytest.mark.parametrize("variant", ["direct", "winograd"])
def test_on_a_cpu_so_does_a_variant_that_can(monkeypatch: pytest.MonkeyPatch, variant: str) -> None:
    unit, x = BasicConv2d(8, 12, 3, padding=1), images()
    expected = step(unit, x, apart=True)
    monkeypatch.setattr(batch_norm_on_cpu, "_moments_of", lambda *arguments: pytest.fail("a pass of its own"))
    with use_kernels(conv2d_forward=variant):
        assert_close(step(unit, x, apart=False), expected, 1e-5)


def test_on_a_cpu_a_variant_that_cannot_leaves_it_to_batch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    unit, x = BasicConv2d(8, 12, 3, padding=1), images()
    expected, calls, moments_of = step(unit, x, apart=True), [], batch_norm_on_cpu._moments_of
    monkeypatch.setattr(batch_norm_on_cpu, "_moments_of", lambda *a: calls.append(a) or moments_of(*a))
    with use_kernels(conv2d_forward="im2col"):
        assert_close(step(unit, x, apart=False), expected, 1e-5)
    assert len(calls) == 1


def test_a_hook_on_the_convolution_may_change_what_is_normalised() -> None:
    unit, x = BasicConv2d(8, 12, 3), images()
    unit.conv.register_forward_hook(lambda module, inputs, output: output + 5 * output * output)
    assert_close(step(unit, x, apart=False), step(unit, x, apart=True), 0)
