"""Operations leave their device neither forward nor back, and give what they give on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from claims.variants import without_compiler

pytestmark = without_compiler

Operation = Callable[[mg.Tensor], mg.Tensor]


def like(x: mg.Tensor, shape: tuple[int, ...]) -> mg.Tensor:
    return mg.ones(shape, dtype=x.dtype, device=x.device)


OPERATIONS: dict[str, Operation] = {
    "absolute": abs,
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "batch_norm of running statistics": lambda x: F.batch_norm(x, like(x, (3,)), like(x, (3,))),
    "clip": lambda x: x.clip(-0.5, 0.5),
    "concat": lambda x: mg.concat([x, x], 1),
    "conv2d": lambda x: F.conv2d(x, like(x, (4, 3, 3, 3)), padding=1),
    "division": lambda x: 1 / (x * x + 1),
    "einsum": lambda x: mg.einsum("nchw,nchw->nc", x, x),
    "indexing": lambda x: x[0, 1:, ::2],
    "indexing by a list": lambda x: x[[1, 0, 1]],
    "interpolate bilinear": lambda x: F.interpolate(x, (5, 6), mode="bilinear"),
    "interpolate nearest": lambda x: F.interpolate(x, (5, 6)),
    "linear": lambda x: F.linear(x.reshape(2, -1), like(x, (4, 120))),
    "local_response_norm": lambda x: F.local_response_norm(x, 3),
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "matmul": lambda x: x.reshape(2, -1) @ x.reshape(2, -1).T,
    "maximum": lambda x: mg.maximum(x, 0.1),
    "max": lambda x: x.max(1),
    "mean": lambda x: x.mean((2, 3)),
    "power": lambda x: x**2,
    "relu": F.relu,
    "sigmoid": F.sigmoid,
    "softmax": lambda x: F.softmax(x, 1),
    "stack": lambda x: mg.stack([x, x]),
    "take": lambda x: mg.take(x, np.array([1, 0]), 1),
    "tanh": mg.tanh,
    "var": lambda x: x.var((0,)),
    "where": lambda x: mg.where(x > 0, x, 0.0),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_stays_on_its_device(name: str) -> None:
    values = np.random.default_rng(0).standard_normal((2, 3, 4, 10))
    results = {}
    for device in ("cpu", "emulated"):
        x = mg.tensor(values, device=device, requires_grad=True)
        y = OPERATIONS[name](x)
        (y * y).sum().backward()
        assert y.device == device
        assert x.grad is not None
        assert x.grad.device == device
        results[device] = y.numpy(), x.grad.numpy()
    for here, there in zip(results["emulated"], results["cpu"], strict=True):
        # float64; the kernels of the two devices add up in different orders.
        np.testing.assert_allclose(here, there, rtol=1e-11, atol=1e-12)
