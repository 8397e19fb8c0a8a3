"""Gradients cut down to size, in place, before the optimiser's step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..kernels import optimizer_steps
from ..kernels.arrays import Array
from ..kernels.errors import MinigradError
from ..kernels.optimizer_steps import SquaredNormProblem
from ..tensor import Tensor


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    several = [parameters] if isinstance(parameters, Tensor) else parameters
    return [parameter.grad for parameter in several if parameter.grad is not None]


def _norm(gradients: list[Array], norm_type: float) -> float:
    """The norm of all elements of all gradients as one vector."""
    if norm_type == math.inf:
        return float(np.max([float(abs(g).max()) for g in gradients if g.size], initial=0.0))
    if norm_type == 2:
        kinds = {(type(g), g.dtype.name) for g in gradients}
        return math.sqrt(
            sum(
                optimizer_steps.squared_norm(
                    SquaredNormProblem(dtype),
                    [g for g in gradients if (type(g), g.dtype.name) == (library, dtype)],
                )
                for library, dtype in kinds
            )
        )
    return float(sum(float((abs(g).astype("float64") ** norm_type).sum()) for g in gradients) ** (1 / norm_type))


def get_total_norm(parameters: Tensor | Iterable[Tensor], norm_type: float = 2.0) -> float:
    """The norm of all gradients of `parameters` as one vector; not finite if one of their elements is not."""
    return _norm([gradient.data for gradient in _gradients(parameters)], norm_type)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients so that their norm, taken together, is at most `max_norm`.

    Pascanu et al., arXiv 1211.5063, algorithm 1; the factor is max_norm / (norm + 1e-6), as in PyTorch.

    Args:
        parameters: the Tensors whose `.grad` is scaled; those without one are left out.
        max_norm: the largest norm allowed.
        norm_type: p of the norm; `math.inf` for the largest absolute value.
        error_if_nonfinite: raise, and change nothing, where the norm is not finite.

    Returns:
        The norm before scaling.

    Raises:
        MinigradError: if max_norm is negative, norm_type is not positive, or for `error_if_nonfinite`.
    """
    if not max_norm >= 0 or not norm_type > 0:
        raise MinigradError(
            "clip_grad_norm_: max_norm must not be negative and norm_type must be positive, "
            f"got max_norm={max_norm}, norm_type={norm_type}"
        )
    gradients = _gradients(parameters)
    norm = _norm([gradient.data for gradient in gradients], norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise MinigradError(f"clip_grad_norm_: the norm of order {norm_type:g} of the gradients is {norm}")
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:  # a NaN goes on into the gradients
        for gradient in gradients:
            gradient.data *= factor
            gradient.note_change("clip_grad_norm_()")
    return norm


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of each gradient to [-clip_value, clip_value].

    Raises:
        MinigradError: if `clip_value` is negative.
    """
    if not clip_value >= 0:
        raise MinigradError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    for gradient in _gradients(parameters):
        gradient.data.clip(-clip_value, clip_value, out=gradient.data)
        gradient.note_change("clip_grad_value_()")
