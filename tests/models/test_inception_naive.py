"""The naive Inception module computes what Figure 2(a) draws, and costs more."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.models import NaiveInception
from minigrad.models.inception_naive import ModuleCost, compare
from minigrad.nn import functional as F


def test_it_joins_three_convolutions_and_a_pool() -> None:
    mg.manual_seed(0)
    module = NaiveInception(6, 2, 3, 4)
    x = mg.randn((2, 6, 9, 7))
    branches = [
        F.relu(F.conv2d(x, branch.conv.weight, branch.conv.bias, padding=padding))
        for branch, padding in ((module.branch1, 0), (module.branch2, 1), (module.branch3, 2))
    ]
    branches.append(F.max_pool2d(x, 3, stride=1, padding=1))
    y = module(x)
    assert y.shape == (2, 2 + 3 + 4 + 6, 9, 7)
    np.testing.assert_array_equal(y.numpy(), np.concatenate([branch.numpy() for branch in branches], axis=1))


def test_gradients_reach_every_branch() -> None:
    module = NaiveInception(6, 2, 3, 4)
    x = mg.randn((2, 6, 5, 5), requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is not None and parameter.grad.numpy().any() for parameter in module.parameters())


def by_hand(filters: list[tuple[int, int, int]], channels: int, size: int) -> ModuleCost:
    """The cost of convolutions, each (inputs, outputs, extent), with biases."""
    weights = sum(inputs * outputs * extent**2 for inputs, outputs, extent in filters)
    biases = sum(outputs for _, outputs, _ in filters)
    return ModuleCost(weights + biases, weights * size**2, channels)


@pytest.mark.parametrize("size", [28, 7])
def test_the_costs_of_inception_3a(size: int) -> None:
    naive, reduced = compare(192, 64, 96, 128, 16, 32, 32, size=size)
    assert naive == by_hand([(192, 64, 1), (192, 128, 3), (192, 32, 5)], 64 + 128 + 32 + 192, size)
    assert reduced == by_hand(
        [(192, 64, 1), (192, 96, 1), (96, 128, 3), (192, 16, 1), (16, 32, 5), (192, 32, 1)], 256, size
    )


def test_reductions_save_more_than_half_of_the_work_and_keep_channels_from_growing() -> None:
    naive, reduced = compare(192, 64, 96, 128, 16, 32, 32)
    assert naive.multiply_adds > 2 * reduced.multiply_adds
    assert naive.parameters > 2 * reduced.parameters
    assert naive.output_channels == reduced.output_channels + 192 - 32
