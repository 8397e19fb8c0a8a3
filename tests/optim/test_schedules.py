"""Schedules give PyTorch's learning rates, each as a function of the step alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

import minigrad as mg
from minigrad import nn, optim

STEPS = 20
RATES = (0.4, 0.1)  # of two groups
# PyTorch multiplies from step to step, here each value is computed by itself: some 20 roundings of 1e-16.
TOLERANCE = 1e-12


def optimizer() -> optim.SGD:
    return optim.SGD([{"params": [nn.Parameter([1.0])], "lr": rate} for rate in RATES])


def warm_up_then_cosine(theirs: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    first = lr_scheduler.LinearLR(theirs, 0.2, 1.0, 5)
    return lr_scheduler.SequentialLR(theirs, [first, lr_scheduler.CosineAnnealingLR(theirs, 15)], [5])


def one_cycle(**options: Any) -> Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]:
    return lambda theirs: lr_scheduler.OneCycleLR(
        theirs, list(RATES), total_steps=STEPS + 1, cycle_momentum=False, **options
    )


CASES: list[tuple[str, optim.Schedule, Callable[[Any], Any]]] = [
    ("googlenet", optim.StepDecay(8, 0.96), lambda theirs: lr_scheduler.StepLR(theirs, 8, 0.96)),
    ("step", optim.StepDecay(3), lambda theirs: lr_scheduler.StepLR(theirs, 3)),
    ("polynomial", optim.PolynomialDecay(15, 2.0), lambda theirs: lr_scheduler.PolynomialLR(theirs, 15, 2.0)),
    ("linear", optim.PolynomialDecay(20), lambda theirs: lr_scheduler.PolynomialLR(theirs, 20)),
    ("cosine", optim.CosineAnnealing(20), lambda theirs: lr_scheduler.CosineAnnealingLR(theirs, 20)),
    ("one_cycle", optim.OneCycle(STEPS + 1), one_cycle()),
    (
        "one_cycle_all",
        optim.OneCycle(STEPS + 1, 0.4, "linear", 10.0, 100.0, True),
        one_cycle(
            pct_start=0.4, anneal_strategy="linear", div_factor=10.0, final_div_factor=100.0, three_phase=True
        ),
    ),
    ("warm_up", optim.LinearWarmUp(7), lambda theirs: lr_scheduler.LinearLR(theirs, total_iters=7)),
    ("warm_up_then", optim.LinearWarmUp(5, 0.2, then=optim.CosineAnnealing(15)), warm_up_then_cosine),
    ("constant", optim.Constant(0.5), lambda theirs: lr_scheduler.LambdaLR(theirs, lambda step: 0.5)),
]


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step..` was not necessary:UserWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_learning_rates_are_pytorchs(case: tuple[str, optim.Schedule, Callable[[Any], Any]]) -> None:
    _, schedule, make = case
    ours = optim.Scheduler(optimizer(), schedule)
    theirs = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": rate} for rate in RATES])
    scheduler = make(theirs)
    for _ in range(STEPS):
        expected = [group["lr"] for group in theirs.param_groups]
        assert ours.learning_rates == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)
        ours.step()
        theirs.step()
        scheduler.step()


def test_cosine_ends_where_it_is_told() -> None:
    theirs = torch.optim.SGD([torch.zeros(1)], lr=0.4)
    expected = lr_scheduler.CosineAnnealingLR(theirs, 10, eta_min=0.04)
    schedule = optim.CosineAnnealing(10, final=0.1)
    for step in range(10):
        assert 0.4 * schedule(step) == pytest.approx(expected.get_last_lr()[0], rel=TOLERANCE)
        theirs.step()
        expected.step()
    assert schedule(10) == schedule(100) == pytest.approx(0.1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_scheduler_goes_on_from_a_saved_state(case: tuple[str, optim.Schedule, Callable[[Any], Any]]) -> None:
    ours = optim.Scheduler(optimizer(), case[1])
    for _ in range(9):
        ours.step()
    resumed = optimizer()
    resumed.load_state_dict(ours.optimizer.state_dict())  # brings back the rates of step 9, not those of step 0
    other = optim.Scheduler(resumed, case[1])
    other.load_state_dict(ours.state_dict())
    for _ in range(5):
        assert other.learning_rates == ours.learning_rates
        ours.step()
        other.step()


def test_a_schedule_keeps_its_last_value() -> None:
    assert optim.PolynomialDecay(5)(9) == 0.0
    assert optim.OneCycle(5)(50) == optim.OneCycle(5)(4) == pytest.approx(1 / 25e4)


def test_a_function_is_a_schedule() -> None:
    scheduler = optim.Scheduler(optimizer(), lambda step: 1 / (1 + step))
    scheduler.step()
    assert scheduler.learning_rates == [0.2, 0.05]


def test_a_state_of_other_groups_is_refused() -> None:
    scheduler = optim.Scheduler(optimizer(), optim.Constant())
    with pytest.raises(mg.MinigradError, match="the saved schedule has 1 groups, the optimiser 2"):
        scheduler.load_state_dict({"steps": 3, "base_rates": [0.1]})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.StepDecay(0), "StepDecay: step_size must be at least 1, got 0"),
        (lambda: optim.PolynomialDecay(0), "PolynomialDecay: total_steps must be at least 1, got 0"),
        (lambda: optim.CosineAnnealing(-1), "CosineAnnealing: total_steps must be at least 1, got -1"),
        (lambda: optim.OneCycle(0), "OneCycle: total_steps must be at least 1, got 0"),
        (lambda: optim.OneCycle(5, 1.5), "OneCycle: pct_start must be from 0 to 1, got 1.5"),
        (lambda: optim.OneCycle(5, anneal_strategy="sine"), "must be 'cos' or 'linear', got 'sine'"),
        (lambda: optim.LinearWarmUp(0), "LinearWarmUp: steps must be at least 1, got 0"),
    ],
)
def test_an_impossible_schedule_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(mg.MinigradError, match=message):
        make()
