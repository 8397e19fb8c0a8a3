"""Operations with a kernel for the first gradient and a formula for the others: which part goes where."""

import numpy as np
import torch

import minigrad as mg
from minigrad.nn import functional as F


def test_an_input_made_from_another_input_gets_its_own_gradient_only() -> None:
    values = np.random.default_rng(0).standard_normal((2, 3, 4, 4))

    def second_derivative(x, mean, batch_norm, grad):  # type: ignore[no-untyped-def]
        y = batch_norm(x, None, None, weight=mean(x), training=True)
        (first,) = grad((y**3).sum(), x, create_graph=True)
        return first, grad((first**2).sum(), x)[0]

    x = mg.tensor(values, requires_grad=True)
    ours = second_derivative(x, lambda x: mg.mean(x, (0, 2, 3)), F.batch_norm, mg.grad)
    z = torch.tensor(values, requires_grad=True)
    theirs = second_derivative(z, lambda x: x.mean((0, 2, 3)), torch.nn.functional.batch_norm, torch.autograd.grad)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9)  # float64 sums, two orders


def test_a_gradient_by_an_intermediate_result_leaves_the_graph_behind_it() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    middle = x * x
    (gradient,) = mg.grad((middle * 3.0).sum(), middle)
    middle.sum().backward()
    assert gradient is not None and gradient.tolist() == [3.0, 3.0]
    assert x.grad is not None and x.grad.tolist() == [2.0, 4.0]
