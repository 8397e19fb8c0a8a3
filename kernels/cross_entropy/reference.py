"""The definition of right: log-softmax shifted by the row's maximum, which cannot overflow.

Logits of 16 bits are computed with in float32, and the result is rounded once.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array, array_module
from . import forward, input_gradient
from .problem import CrossEntropyProblem


def _log_softmax(logits: Array) -> Array:
    xp = array_module(logits)
    logits = logits.astype(np.promote_types(logits.dtype, np.float32), copy=False)
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(1, keepdims=True))


@forward.variant("reference", device="any")
def forward_reference(problem: CrossEntropyProblem, logits: Array, targets: Array) -> Array:
    xp = array_module(logits)
    counts = targets != problem.ignore_index
    log_probabilities = _log_softmax(logits)
    of_targets = xp.take_along_axis(log_probabilities, xp.where(counts, targets, 0)[:, None], 1)[:, 0]
    losses = -(1 - problem.label_smoothing) * of_targets
    if problem.label_smoothing:
        losses = losses - problem.label_smoothing * log_probabilities.mean(1)
    return xp.where(counts, losses, losses.dtype.type(0)).astype(logits.dtype, copy=False)


@input_gradient.variant("reference", device="any")
def input_gradient_reference(problem: CrossEntropyProblem, glosses: Array, logits: Array, targets: Array) -> Array:
    xp = array_module(logits)
    one_hot = xp.arange(problem.classes) == targets[:, None]
    distribution = (1 - problem.label_smoothing) * one_hot + problem.label_smoothing / problem.classes
    probabilities = xp.exp(_log_softmax(logits))
    glogits = glosses[:, None] * (probabilities - distribution.astype(probabilities.dtype))
    glogits = xp.where(targets[:, None] != problem.ignore_index, glogits, glogits.dtype.type(0))
    return glogits.astype(logits.dtype, copy=False)
