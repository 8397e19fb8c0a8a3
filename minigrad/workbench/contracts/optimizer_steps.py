"""The optimisers' steps over all parameters of a model, and the norm of its gradients.

The registry's problems say nothing of the parameters, of which every step is given a list; those of
on_parameters.py do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minigrad.kernels import optimizer_steps

from .contract import Arguments, Call, Contract, Outputs
from .drawing import Generator, normal, uniform
from .on_parameters import (
    AdamStep,
    AverageOfWeights,
    GradientNorm,
    RmspropStep,
    SgdStep,
    StepControl,
    describe,
    odd_adam,
    odd_control,
    odd_rmsprop,
    odd_sgd,
    on_odd_shapes,
)

LATER = 1000  # the step that a model's parameters are at


def _normals(problem: Any, generator: Generator) -> tuple[np.ndarray, ...]:
    return tuple(normal(generator, shape, problem.dtype) for shape in problem.shapes)


def _positive(problem: Any, generator: Generator) -> tuple[np.ndarray, ...]:
    return tuple(uniform(generator, 0.5, 2.0, shape, problem.dtype) for shape in problem.shapes)


def _constants(problem: Any, generator: Generator) -> Arguments:
    """A learning rate, and how many steps each parameter has made: all of a model's the same, others not."""
    count = len(problem.shapes)
    each = [LATER] * count if isinstance(problem.parameters, str) else generator.integers(1, 4, count)
    steps = tuple(int(n) for n in each)
    return {"learning_rate": float(generator.uniform(0.05, 0.2)), "steps": steps, **_factor(generator)}


def _factor(generator: Generator) -> Arguments:
    """What gradients are multiplied by, if by anything."""
    return {"factor": np.array(generator.uniform(0.2, 0.8))}


def _common(problem: Any, generator: Generator) -> Arguments:
    return {"parameters": _normals(problem, generator), "gradients": _normals(problem, generator)}


def _draw_sgd(problem: SgdStep, generator: Generator) -> Arguments:
    momenta = _normals(problem, generator) if problem.momentum else ()
    return {**_common(problem, generator), "momenta": momenta, **_constants(problem, generator)}


def _draw_adam(problem: AdamStep, generator: Generator) -> Arguments:
    moments = {"first_moments": _normals(problem, generator), "second_moments": _positive(problem, generator)}
    return {**_common(problem, generator), **moments, **_constants(problem, generator)}


def _draw_rmsprop(problem: RmspropStep, generator: Generator) -> Arguments:
    """Averages of squares that no squared average exceeds."""
    averages = tuple(
        uniform(generator, -0.5, 0.5, shape, problem.dtype) for shape in problem.shapes if problem.centered
    )
    return {
        **_common(problem, generator),
        "square_averages": _positive(problem, generator),
        "momenta": _normals(problem, generator) if problem.momentum else (),
        "gradient_averages": averages,
        "learning_rate": _constants(problem, generator)["learning_rate"],
        **_factor(generator),
    }


def _draw_control(problem: StepControl, generator: Generator) -> Arguments:
    """A loss scale near one, so that no number of the state is small beside the others; finite norms."""
    count = len(problem.shapes)
    return {
        "norm": np.array(generator.uniform(1.0, 100.0)),
        "loss": np.array(generator.uniform(0.5, 5.0)),
        "state": np.array([2.0 ** generator.integers(3), generator.integers(4), 1.0, 0.0, 3.0, 1.0]),
        "steps": generator.integers(0, 9, count),
        "moving": generator.integers(0, 2, count),
    }


def _draw_average(problem: AverageOfWeights, generator: Generator) -> Arguments:
    share = float(generator.uniform(0.1, 0.9))
    return {"averages": _normals(problem, generator), "values": _normals(problem, generator), "share": share}


def _changed(names: str) -> Callable[[Any], Outputs]:
    """The arrays of these lists, but of those that the problem does without."""

    def outputs(problem: Any) -> Outputs:
        unused = {
            "momenta": not getattr(problem, "momentum", True),
            "gradient_averages": not getattr(problem, "centered", True),
        }
        return {
            f"{name}[{place}]": (shape, problem.dtype)
            for name in names.split()
            if not unused.get(name)
            for place, shape in enumerate(problem.shapes)
        }

    return outputs


def _sgd_work(problem: SgdStep) -> int:
    """Two for the step, two for weight decay, three for the momentum, two more for Nesterov's."""
    each = 2 + 2 * bool(problem.weight_decay) + 3 * bool(problem.momentum) + 2 * problem.nesterov
    return each * problem.elements


def _adam_work(problem: AdamStep) -> int:
    """Three and four for the moments, six for the step (quotients and the root included), two for decay."""
    return (13 + 2 * bool(problem.weight_decay)) * problem.elements


def _rmsprop_work(problem: RmspropStep) -> int:
    """Four for the squares, five for the step; two for decay, two for momentum, five if centred."""
    optional = 2 * bool(problem.weight_decay) + 2 * bool(problem.momentum) + 5 * problem.centered
    return (9 + optional) * problem.elements


def _torch_parameters(torch: Any, a: Arguments) -> list[Any]:
    parameters = [torch.nn.Parameter(p) for p in a["parameters"]]
    for parameter, gradient in zip(parameters, a["gradients"], strict=True):
        parameter.grad = gradient
    return parameters


def _torch_sgd(torch: Any, p: SgdStep, a: Arguments) -> Call:
    options = {
        name: getattr(p, name) for name in ("momentum", "dampening", "weight_decay", "nesterov", "maximize")
    }
    step: Call = torch.optim.SGD(_torch_parameters(torch, a), a["learning_rate"], fused=True, **options).step
    return step


def _torch_adam(torch: Any, p: AdamStep, a: Arguments) -> Call:
    kind = torch.optim.AdamW if p.decoupled else torch.optim.Adam
    options = {"betas": p.betas, "eps": p.epsilon, "weight_decay": p.weight_decay, "maximize": p.maximize}
    step: Call = kind(_torch_parameters(torch, a), a["learning_rate"], fused=True, **options).step
    return step


def _torch_rmsprop(torch: Any, p: RmspropStep, a: Arguments) -> Call:
    options = {name: getattr(p, name) for name in ("alpha", "momentum", "centered", "weight_decay", "maximize")}
    parameters, rate = _torch_parameters(torch, a), a["learning_rate"]
    step: Call = torch.optim.RMSprop(parameters, rate, eps=p.epsilon, foreach=True, **options).step
    return step


def _torch_average(torch: Any, p: AverageOfWeights, a: Arguments) -> Call:
    averages, values = list(a["averages"]), list(a["values"])
    return lambda: torch._foreach_lerp_(averages, values, a["share"])


def _torch_norm(torch: Any, p: GradientNorm, a: Arguments) -> Call:
    return lambda: torch.nn.utils.get_total_norm(a["gradients"])


def _of_model(**kinds: Callable[..., Any]) -> Callable[[str, int, int], Mapping[str, Any]]:
    return lambda model, batch, size: {name: kind(parameters=model) for name, kind in kinds.items()}


_step = functools.partial(Contract, at_batch=lambda problem, batch: problem, describe=describe, tunable=False)

CONTRACTS = (
    _step(
        optimizer_steps.sgd,
        problem=SgdStep,
        inputs="parameters gradients momenta learning_rate steps factor",
        draw=_draw_sgd,
        outputs=_changed("parameters momenta"),
        work=_sgd_work,
        odd=odd_sgd(),
        changes=("parameters", "momenta"),
        optional=("factor",),
        contiguous=("parameters", "gradients", "momenta"),
        lists=("parameters", "gradients", "momenta"),
        stand_ins=_of_model(sgd=functools.partial(SgdStep, momentum=0.9)),
        torch=_torch_sgd,
    ),
    _step(
        optimizer_steps.adam,
        problem=AdamStep,
        inputs="parameters gradients first_moments second_moments learning_rate steps factor",
        draw=_draw_adam,
        outputs=_changed("parameters first_moments second_moments"),
        work=_adam_work,
        odd=odd_adam(),
        changes=("parameters", "first_moments", "second_moments"),
        optional=("factor",),
        contiguous=("parameters", "gradients", "first_moments", "second_moments"),
        lists=("parameters", "gradients", "first_moments", "second_moments"),
        stand_ins=_of_model(adam=AdamStep, adamw=functools.partial(AdamStep, weight_decay=0.01, decoupled=True)),
        torch=_torch_adam,
    ),
    _step(
        optimizer_steps.rmsprop,
        problem=RmspropStep,
        inputs="parameters gradients square_averages momenta gradient_averages learning_rate factor",
        draw=_draw_rmsprop,
        outputs=_changed("parameters square_averages momenta gradient_averages"),
        work=_rmsprop_work,
        odd=odd_rmsprop(),
        changes=("parameters", "square_averages", "momenta", "gradient_averages"),
        optional=("factor",),
        contiguous=("parameters", "gradients", "square_averages", "momenta", "gradient_averages"),
        lists=("parameters", "gradients", "square_averages", "momenta", "gradient_averages"),
        stand_ins=_of_model(rmsprop=RmspropStep),
        torch=_torch_rmsprop,
    ),
    _step(
        optimizer_steps.squared_norm,
        problem=GradientNorm,
        inputs="gradients",
        draw=lambda problem, generator: {"gradients": _normals(problem, generator)},
        outputs=lambda problem: {"norm": ((), "float64")},
        work=lambda problem: 2 * problem.elements,
        odd=on_odd_shapes(GradientNorm),
        contiguous=("gradients",),
        lists=("gradients",),
        stand_ins=_of_model(gradients=GradientNorm),
        torch=_torch_norm,
    ),
    _step(
        optimizer_steps.average,
        problem=AverageOfWeights,
        inputs="averages values share",
        draw=_draw_average,
        outputs=_changed("averages"),
        work=lambda problem: 3 * problem.elements,
        odd=on_odd_shapes(AverageOfWeights),
        changes=("averages",),
        contiguous=("averages", "values"),
        lists=("averages", "values"),
        stand_ins=_of_model(average=AverageOfWeights),
        torch=_torch_average,
    ),
    _step(
        optimizer_steps.control,
        problem=StepControl,
        inputs="norm loss state steps moving",
        draw=_draw_control,
        outputs=lambda problem: {"state": ((6,), "float64"), "steps": ((len(problem.shapes),), "int64")},
        work=lambda problem: 4 + len(problem.shapes),
        odd=odd_control(),
        changes=("state", "steps"),
        stand_ins=_of_model(control=functools.partial(StepControl, max_norm=1.0, grows_after=2000)),
    ),
)
