"""Gradients of gradients through whole parts of GoogLeNet, beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minigrad as mg
from benchmarks.torch_googlenet import ConvNormReLU, ConvReLU
from benchmarks.torch_googlenet import Inception as TorchInception
from minigrad.models import Inception
from minigrad.models.googlenet_paper import PaperInception
from minigrad.nn import Module

FILTERS = (3, 2, 4, 2, 3, 2)
PAIRS = {
    "batch norm": (lambda: Inception(5, *FILTERS), lambda: TorchInception(ConvNormReLU, 3, 5, FILTERS)),
    "biases": (lambda: PaperInception(5, *FILTERS), lambda: TorchInception(ConvReLU, 5, 5, FILTERS)),
}


def gradient_penalty(model: Module, x: mg.Tensor) -> mg.Tensor:
    """The squared norm of the gradient of a score by the images, as in Gulrajani et al., arXiv 1704.00028."""
    (gradient,) = mg.grad((model(x) ** 3).sum(), x, create_graph=True)
    assert gradient is not None
    return (gradient * gradient).sum()


def torch_gradient_penalty(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    (gradient,) = torch.autograd.grad((model(x) ** 3).sum(), x, create_graph=True)
    return (gradient * gradient).sum()


@pytest.mark.parametrize("name", PAIRS)
def test_a_gradient_penalty_trains_an_inception_module(name: str) -> None:
    make, make_torch = PAIRS[name]
    torch.manual_seed(0)
    theirs = make_torch().double()
    ours = make().to(dtype=np.float64)
    ours.load_state_dict(theirs.state_dict())
    images = np.random.default_rng(0).standard_normal((3, 5, 7, 6))
    x = mg.tensor(images, requires_grad=True)
    tx = torch.from_numpy(images).requires_grad_()
    penalty, expected = gradient_penalty(ours, x), torch_gradient_penalty(theirs, tx)
    penalty.backward()
    expected.backward()
    # Rounding in float64 times what two passes through two batch norms amplify: about 1e-13 is measured.
    np.testing.assert_allclose(penalty.item(), expected.item(), rtol=1e-10)
    pairs = {"images": (x.grad, tx.grad)} | {
        key: (value.grad, dict(theirs.named_parameters())[key].grad) for key, value in ours.named_parameters()
    }
    for key, (found, true) in pairs.items():
        if true is None:  # the last biases move no gradient of a ReLU network
            assert found is None or not found.numpy().any(), key
            continue
        distance = np.linalg.norm(found.numpy() - true.numpy())
        assert distance <= 1e-10 * max(np.linalg.norm(true), 1.0), (key, distance)
