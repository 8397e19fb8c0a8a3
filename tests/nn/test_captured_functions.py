"""What a captured function does with numbers that it computed, a replay does anew, or `trouble` says why not."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn

SIDE = 5
WIDE = mg.asarray(np.random.default_rng(1).standard_normal((SIDE, 3)))  # float64
EYE = mg.eye(SIDE)
Forward = Callable[[mg.Tensor], mg.Tensor]


class Model(nn.Module):
    def __init__(self, forward: Forward) -> None:
        self.forward = forward


def captured(forward: Forward) -> str:
    """The trouble with capturing `forward`, whose results are compared on numbers that are new each time."""
    generator = np.random.default_rng(0)
    model = Model(forward).eval()
    fast = nn.Captured(model)
    for _ in range(6):
        x = mg.asarray(generator.standard_normal((SIDE, SIDE), dtype=np.float32))
        with mg.no_grad():
            expected = model(mg.asarray(x.numpy().copy())).numpy()
        np.testing.assert_array_equal(fast(x).numpy(), expected)
    return fast.trouble


def labels(x: mg.Tensor) -> mg.Tensor:
    return mg.argmax(-x, axis=1)


def changed(y: mg.Tensor, index: object, value: object) -> mg.Tensor:
    y[index] = value
    return y + 1


def twice_assigned(x: mg.Tensor) -> mg.Tensor:
    y = mg.zeros_like(x)
    y[:, 0] = x[:, 1]
    y[:, 0] = y[:, 0] + x[:, 2]  # on what an earlier replay left, the sum would grow
    return y


def gradient(of: Forward) -> Forward:
    def work(x: mg.Tensor) -> mg.Tensor:
        with mg.set_grad_enabled(True):
            x = x.detach().requires_grad_()
            return mg.grad(of(x), x)[0]

    return work


def image(x: mg.Tensor) -> mg.Tensor:
    return x.reshape(1, 1, SIDE, SIDE)


FOLLOWED: dict[str, Forward] = {
    "a column assigned": lambda x: changed(x * 1.0, (slice(None), 0), x[:, 1]),
    "assigned at a computed index": lambda x: changed(x * 1.0, labels(x), 7.0),
    "assigned under a mask": lambda x: changed(x * 1.0, x > 0, 7.0),
    "assigned to zeros": twice_assigned,
    "assigned to a copy": lambda x: changed(mg.tensor(x), 0, x[1]),
    "assigned to a view": lambda x: changed((x * 1.0).T, 0, x[1]),
    "indexed": lambda x: x[labels(x)],
    "indexed by one": lambda x: x[mg.argmax(x[0])],
    "one-hot": lambda x: EYE[labels(x)],
    "take": lambda x: mg.take(x, labels(x), axis=1),
    "take_along_axis": lambda x: mg.take_along_axis(x, mg.argmax(x, axis=1, keepdims=True), axis=1),
    "gradient of an index": gradient(lambda x: (x[labels(x)] * x).sum()),
    "cross_entropy": lambda x: F.cross_entropy(x, labels(x)),
    "cross_entropy, smoothed": lambda x: F.cross_entropy(x, labels(x), label_smoothing=0.1),
    "cross_entropy, weighted": lambda x: F.cross_entropy(x, labels(x), weight=mg.abs(x[0])),
    "cross_entropy, some ignored": lambda x: F.cross_entropy(x, labels(x), ignore_index=2),
    "cross_entropy of labels that lie apart": lambda x: F.cross_entropy(x, mg.stack([labels(x)] * 2, 1)[:, 0]),
    "gradient of weighted cross_entropy": gradient(
        lambda x: F.cross_entropy(x, labels(x), weight=mg.abs(x[0]), ignore_index=1)
    ),
    "where": lambda x: mg.where(x > x.mean(), x, -x),
    "clip": lambda x: mg.clip(x, x.mean(), x.max()),
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "interpolate": lambda x: F.interpolate(image(x), size=(7, 7), mode="bilinear"),
    "max pooling": gradient(lambda x: (F.max_pool2d(image(x), 2) ** 2).sum()),
    "two dtypes": lambda x: x @ WIDE,
    "a copy": lambda x: mg.tensor(x) + 1,
    "NumPy's functions": lambda x: np.exp(x) + np.ones(SIDE, np.float32),
}


@pytest.mark.parametrize("forward", FOLLOWED.values(), ids=FOLLOWED)
def test_computed_again(forward: Forward) -> None:
    assert not captured(forward)


ASKED: dict[str, tuple[Forward, str]] = {
    "a mask": (lambda x: x[x > 0].sum(), "by a mask"),
    "item": (lambda x: x * x.sum().item(), "value of a Tensor"),
    "float": (lambda x: x * float(x.sum()), "value of a Tensor"),
    "bool": (lambda x: x if x.sum() > 0 else -x, "value of a Tensor"),
    "an end of a slice": (lambda x: x[: int(mg.argmax(x[0])) + 1].sum(), "value of a Tensor"),
    "numpy": (lambda x: mg.asarray(x.numpy() * 2), "values of a Tensor"),
    "tolist": (lambda x: mg.asarray(x.tolist()), "values of a Tensor"),
    "np.asarray": (lambda x: mg.asarray(np.asarray(x) * 2), "values of a Tensor"),
    "np.sort": (lambda x: mg.asarray(np.sort(x)), "values of a Tensor"),
    "np.where of a condition": (lambda x: mg.asarray(np.where(x > 0)[0].sum()), "values of a Tensor"),
    "a list of Tensors": (lambda x: mg.tensor([x.sum(), x.max()]), "values of a Tensor"),
    "np.from_dlpack": (lambda x: mg.asarray(np.from_dlpack(x) * 2), "another library"),
    "deepcopy": (lambda x: copy.deepcopy(x) + 1, "copied by Python"),
    "a Parameter of it": (lambda x: copy.deepcopy(nn.Parameter(x)) + 1, "copied by Python"),
    "a Buffer of it": (lambda x: copy.deepcopy(nn.Buffer(x)) + 1, "copied by Python"),
    "assigned to NumPy's memory": (lambda x: changed(mg.asarray(np.zeros(SIDE)), 0, x[0, 0]), "was there before"),
    "assigned to the input": (lambda x: changed(x, 0, 0.0), "was there before"),
}


@pytest.mark.parametrize(("forward", "reason"), ASKED.values(), ids=ASKED)
def test_asked_each_time(forward: Forward, reason: str) -> None:
    assert reason in captured(forward)
