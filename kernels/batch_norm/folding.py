"""Normalisation by given statistics, folded into the convolution before it.

    weight' = weight * scale,    bias' = (bias - mean) * scale + shift,    scale = gamma / sqrt(variance + epsilon)

(Jacob et al., arXiv 1712.05877, section 3.2.) On CUDA it is one launch, cheap enough for every call; fold.cu.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import Array, device_of
from ..cuda.buffers import contiguous, empty
from ..cuda.launch import CudaSource

THREADS = 128
SOURCE = CudaSource("batch_norm/fold.cu", REAL=("float", "double"))


class Foldable(NamedTuple):
    """A filter (K, C, R, S) and all else, (K,): all of float32 or all of float64. None is 0, and 1 for gamma."""

    weight: Array
    bias: Array | None
    gamma: Array | None
    shift: Array | None
    mean: Array
    variance: Array
    epsilon: float


def fold(units: list[Foldable]) -> tuple[Array, Array]:
    """Weight and bias of the convolution that gives what all units give, one after another."""
    if device_of(units[0].weight) == "cpu":
        weights, biases = zip(*(_folded(unit) for unit in units), strict=True)
        return np.concatenate(weights), np.concatenate(biases)
    first = units[0].weight
    channels = sum(unit.weight.shape[0] for unit in units)
    weight = empty((channels, *first.shape[1:]), first.dtype, like=first)
    bias = empty((channels,), first.dtype, like=first)
    kernel = SOURCE.kernel("fold", REAL={"float32": "float", "float64": "double"}[first.dtype.name])
    start = 0
    for unit in units:
        stop = start + unit.weight.shape[0]
        arrays = [None if array is None else contiguous(array) for array in unit[:-1]]
        row = np.int32(unit.weight.size // unit.weight.shape[0])
        kernel(
            (stop - start,),
            (THREADS,),
            *arrays,
            np.float64(unit.epsilon),
            row,
            weight[start:stop],
            bias[start:stop],
        )
        start = stop
    return weight, bias


def _folded(unit: Foldable) -> tuple[np.ndarray, np.ndarray]:
    """Computed in float64 and rounded once."""
    weight = unit.weight
    scale = (1.0 if unit.gamma is None else unit.gamma) / np.sqrt(unit.variance.astype(np.float64) + unit.epsilon)
    bias = ((0.0 if unit.bias is None else unit.bias) - unit.mean.astype(np.float64)) * scale
    if unit.shift is not None:
        bias += unit.shift
    return (weight * scale.reshape(-1, 1, 1, 1)).astype(weight.dtype), bias.astype(weight.dtype)
