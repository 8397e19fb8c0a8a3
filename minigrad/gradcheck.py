"""Gradients compared with finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .autograd import GraphError
from .backpropagation import grad, several
from .kernels.errors import DTypeError
from .tensor import Tensor


class GradcheckError(GraphError):
    """A gradient that differs from the finite difference, with the element where it does."""


def gradcheck(
    function: Callable[..., Any],
    inputs: Tensor | Sequence[Tensor],
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-4,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of `function` at `inputs` agree with central differences.

    The outputs are projected on one random direction v; for every element x of every input that
    requires a gradient, d(v . y)/dx is compared with (v . y(x + eps) - v . y(x - eps)) / (2 eps).

    Args:
        function: takes the inputs, gives a Tensor or several.
        inputs: Tensors; those that require a gradient must be float64, as differences in float32 are noise.
        eps, atol, rtol: the step, and the tolerance atol + rtol * |difference|.
        raise_exception: raise instead of giving False.

    Raises:
        GradcheckError: naming the input, the element and both values.
        DTypeError: if an input that requires a gradient is not float64.
    """
    inputs = several(inputs, "gradcheck: inputs")
    checked = [i for i, x in enumerate(inputs) if x.requires_grad]
    if not checked:
        raise GraphError("gradcheck: no input requires a gradient")
    for i in checked:
        if inputs[i].dtype != np.float64:
            raise DTypeError(f"gradcheck: input {i} is {inputs[i].dtype}; finite differences need float64")
    random = np.random.default_rng(0)
    outputs = _several(function(*inputs))
    directions = [random.uniform(0.5, 1.5, y.shape) * random.choice([-1.0, 1.0], y.shape) for y in outputs]
    connected = [(y, Tensor(v)) for y, v in zip(outputs, directions, strict=True) if y.requires_grad]
    if not connected:
        raise GraphError("gradcheck: no output depends on an input that requires a gradient")
    gradients = grad(
        [y for y, _ in connected],
        [inputs[i] for i in checked],
        [v for _, v in connected],
        allow_unused=True,
    )
    for i, gradient in zip(checked, gradients, strict=True):
        expected = _differences(function, inputs, i, directions, eps)
        actual = np.zeros(inputs[i].shape) if gradient is None else gradient.numpy()
        wrong = ~(np.abs(actual - expected) <= atol + rtol * np.abs(expected))
        if wrong.any():
            if not raise_exception:
                return False
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            raise GradcheckError(
                f"gradient of input {i} at {at} is {actual[at]:.10g}, the finite difference {expected[at]:.10g} "
                f"({int(wrong.sum())} of {wrong.size} elements differ)"
            )
    return True


def gradgradcheck(
    function: Callable[..., Any],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Sequence[Tensor] | None = None,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-4,
    raise_exception: bool = True,
) -> bool:
    """Whether the second gradients agree with central differences of the first; arguments as `gradcheck`.

    `grad_outputs` are the gradients that the first pass starts from, random ones if None; they are inputs
    of the check as well.
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    random = np.random.default_rng(1)
    if grad_outputs is None:
        outputs = _several(function(*inputs))  # recorded, as the function may take gradients itself
        grad_outputs = [Tensor(random.standard_normal(y.shape), requires_grad=True) for y in outputs]

    def gradients(*everything: Tensor) -> list[Tensor]:
        xs, gs = everything[: len(inputs)], everything[len(inputs) :]
        pairs = [(y, g) for y, g in zip(_several(function(*xs)), gs, strict=True) if y.requires_grad]
        wanted = [x for x in xs if x.requires_grad]
        found = grad([y for y, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True)
        return [g for g in found if g is not None]

    return gradcheck(gradients, [*inputs, *grad_outputs], eps, atol, rtol, raise_exception)


def _several(outputs: Any) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _differences(
    function: Callable[..., Any],
    inputs: list[Tensor],
    position: int,
    directions: list[np.ndarray],
    eps: float,
) -> np.ndarray:
    """The central differences of the projected outputs by every element of one input."""
    x = inputs[position]
    result = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        sides = []
        for step in (eps, -eps):
            moved = x.data.copy()
            moved[index] += step
            # Required gradients stay required: what is checked may itself take a gradient.
            changed = [*inputs[:position], Tensor(moved, requires_grad=True), *inputs[position + 1 :]]
            outputs = _several(function(*changed))
            sides.append(sum(float(np.sum(y.numpy() * v)) for y, v in zip(outputs, directions, strict=True)))
        result[index] = (sides[0] - sides[1]) / (2 * eps)
    return result
