"""Gradient clipping is PyTorch's."""

import math

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn, optim

SHAPES = [(3, 4), (5,), (), (0, 2)]


def parameters() -> tuple[list[nn.Parameter], list[torch.nn.Parameter]]:
    """The same gradients here and in PyTorch; the last parameter has none."""
    generator = np.random.default_rng(0)
    ours, theirs = [], []
    for shape in [*SHAPES, None]:
        ours.append(nn.Parameter(np.zeros((1,) if shape is None else shape)))
        theirs.append(torch.nn.Parameter(torch.tensor(ours[-1].numpy())))
        if shape is not None:
            gradient = generator.standard_normal(shape)
            ours[-1].grad, theirs[-1].grad = mg.tensor(gradient), torch.tensor(gradient)
    return ours, theirs


def assert_same_gradients(ours: list[nn.Parameter], theirs: list[torch.nn.Parameter]) -> None:
    for p, q in zip(ours, theirs, strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            np.testing.assert_allclose(np.array(p.grad), np.asarray(q.grad), rtol=1e-12)  # sums in another order


@pytest.mark.parametrize("max_norm", [0.5, 100.0, 0.0])
@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, math.inf])
def test_norm(max_norm: float, norm_type: float) -> None:
    ours, theirs = parameters()
    if norm_type == math.inf:  # PyTorch has no largest element of an empty gradient
        ours[3].grad = theirs[3].grad = None
    total = optim.clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert total == pytest.approx(expected.item(), rel=1e-12)
    assert_same_gradients(ours, theirs)


def test_norm_over_two_dtypes() -> None:
    wide, narrow = nn.Parameter(mg.zeros(1, dtype="float64")), nn.Parameter(mg.zeros(1))
    wide.grad, narrow.grad = mg.tensor([3.0], dtype="float64"), mg.tensor([4.0])
    assert optim.clip_grad_norm_([wide, narrow], 1.0) == 5.0
    assert wide.grad.numpy() == pytest.approx(0.6, rel=1e-6)  # the factor has 1e-6 in its denominator
    assert narrow.grad.numpy() == pytest.approx(0.8, rel=1e-6) and narrow.grad.dtype == np.float32


def test_value() -> None:
    ours, theirs = parameters()
    optim.clip_grad_value_(ours, 0.3)
    torch.nn.utils.clip_grad_value_(theirs, 0.3)
    assert_same_gradients(ours, theirs)


def test_one_parameter_alone_and_none_at_all() -> None:
    parameter = nn.Parameter([0.0])
    assert optim.clip_grad_norm_(parameter, 1.0) == 0.0
    parameter.grad = mg.tensor([-2.0])
    optim.clip_grad_value_(parameter, 0.5)
    assert parameter.grad.tolist() == [-0.5]
    assert optim.clip_grad_norm_([], 1.0) == 0.0


@pytest.mark.parametrize(("value", "norm_type"), [(math.inf, 2.0), (math.nan, 2.0), (math.nan, math.inf)])
def test_a_norm_that_is_not_finite_can_raise_and_changes_nothing(value: float, norm_type: float) -> None:
    ours, _ = parameters()
    ours[0].grad = mg.tensor(np.full(ours[0].shape, value))
    before = [None if p.grad is None else np.array(p.grad) for p in ours]
    with pytest.raises(mg.MinigradError, match=f"of order {norm_type:g} of the gradients is {value}"):
        optim.clip_grad_norm_(ours, 1.0, norm_type, error_if_nonfinite=True)
    for p, gradient in zip(ours, before, strict=True):
        assert gradient is None or np.array_equal(np.array(p.grad), gradient, equal_nan=True)


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(mg.MinigradError, match=r"got max_norm=-1, norm_type=2\.0"):
        optim.clip_grad_norm_([], -1)
    with pytest.raises(mg.MinigradError, match="clip_value must not be negative, got -1"):
        optim.clip_grad_value_([], -1)
