"""Averages of weights: their values, their use, their saving."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import minigrad as mg
from minigrad import nn, optim

STEPS = 5


def model(library: Any = nn) -> Any:
    return library.Sequential(library.Linear(3, 4), library.BatchNorm2d(4))


def pair() -> tuple[Any, Any]:
    theirs = model(torch.nn).double()
    ours = model().to(dtype="float64")
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def walk(ours: nn.Module, theirs: torch.nn.Module, generator: np.random.Generator) -> None:
    """Move all weights and statistics as a training step would."""
    state = {
        name: x.numpy() + (1 if x.dtype.kind == "i" else generator.standard_normal(x.shape))
        for name, x in ours.state_dict().items()
    }
    ours.load_state_dict(state)
    theirs.load_state_dict({name: torch.tensor(x) for name, x in state.items()})


@pytest.mark.parametrize("decay", [None, 0.9])
def test_averages_are_pytorchs(decay: float | None) -> None:
    ours, theirs = pair()
    average = optim.PolyakAverage(ours) if decay is None else optim.ExponentialMovingAverage(ours, decay)
    options = {} if decay is None else {"multi_avg_fn": get_ema_multi_avg_fn(decay)}
    expected = AveragedModel(theirs, use_buffers=True, **options)
    generator = np.random.default_rng(0)
    for _ in range(STEPS):
        walk(ours, theirs, generator)
        average.update()
        expected.update_parameters(theirs)
    found = average.state_dict()["averages"]
    for name, value in expected.module.state_dict().items():
        if name == "1.num_batches_tracked":
            assert found[name] == STEPS  # a count is copied; PyTorch would average it too
        else:
            np.testing.assert_allclose(found[name], value.numpy(), rtol=1e-12)  # float64, five steps


def test_polyak_is_the_mean_of_what_it_saw() -> None:
    layer = nn.Linear(1, 1, bias=False)
    average = optim.PolyakAverage(layer)
    for value in (1.0, 2.0, 6.0):
        layer.weight.data[...] = value
        average.update()
    with average.applied() as module:
        assert module is layer and layer.weight.item() == pytest.approx(3.0)
    assert layer.weight.item() == 6.0


def test_the_weights_come_back_even_after_an_error() -> None:
    layer = nn.Linear(2, 2)
    average = optim.ExponentialMovingAverage(layer, 0.5)
    average.update()
    own = layer.weight.numpy()
    layer.weight.data += 1
    values = own.copy()
    with pytest.raises(ZeroDivisionError), average.applied():
        assert not np.array_equal(layer.weight.numpy(), values)
        raise ZeroDivisionError
    assert layer.weight.numpy() is own and np.array_equal(own, values)


def test_use_before_the_first_update_and_update_during_use_are_refused() -> None:
    average = optim.PolyakAverage(nn.Linear(1, 1))
    with pytest.raises(mg.MinigradError, match="there is no average yet"), average.applied():
        pass
    average.update()
    with average.applied(), pytest.raises(mg.MinigradError, match="leave the `applied` block"):
        average.update()


def test_an_average_goes_on_from_a_saved_state() -> None:
    ours, theirs = pair()
    generator = np.random.default_rng(0)
    first, second = optim.PolyakAverage(ours), optim.PolyakAverage(ours)
    for step in range(STEPS):
        walk(ours, theirs, generator)
        first.update()
        if step == 2:
            second.load_state_dict(first.state_dict())
        elif step > 2:
            second.update()
    for name, value in first.state_dict()["averages"].items():
        np.testing.assert_array_equal(second.state_dict()["averages"][name], value)


def test_a_state_of_another_module_is_refused() -> None:
    average = optim.PolyakAverage(nn.Linear(2, 2))
    state = optim.PolyakAverage(nn.Linear(2, 3)).state_dict()
    with pytest.raises(mg.MinigradError, match="not of this module: bias, weight differ"):
        average.load_state_dict(state)


def test_an_impossible_decay_is_refused() -> None:
    with pytest.raises(mg.MinigradError, match=r"decay must be from 0 to 1, got 1\.5"):
        optim.ExponentialMovingAverage(nn.Linear(1, 1), 1.5)
