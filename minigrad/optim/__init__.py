"""Optimisers with PyTorch's formulas and option names, schedules, clipping and averages of weights."""

from .adam import Adam, AdamW
from .averaging import ExponentialMovingAverage, PolyakAverage, WeightAverage
from .clipping import clip_grad_norm_, clip_grad_value_, get_total_norm
from .optimizer import Optimizer, OptimizerStateError
from .rmsprop import RMSprop
from .schedules import (
    Constant,
    CosineAnnealing,
    LinearWarmUp,
    OneCycle,
    PolynomialDecay,
    Schedule,
    Scheduler,
    StepDecay,
)
from .sgd import SGD
from .step_control import StepControl

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "CosineAnnealing",
    "ExponentialMovingAverage",
    "LinearWarmUp",
    "OneCycle",
    "Optimizer",
    "OptimizerStateError",
    "PolyakAverage",
    "PolynomialDecay",
    "RMSprop",
    "Schedule",
    "Scheduler",
    "StepControl",
    "StepDecay",
    "WeightAverage",
    "clip_grad_norm_",
    "clip_grad_value_",
    "get_total_norm",
]
