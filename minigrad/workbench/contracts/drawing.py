"""Random arrays, of which the contracts draw their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from .contract import Arguments, Shape

Generator = np.random.Generator


def normal(generator: Generator, shape: Shape, dtype: str, scale: float = 1.0) -> np.ndarray:
    """Normal numbers, rounded to `dtype`."""
    wide = np.float64 if dtype == "float64" else np.float32
    values: np.ndarray = np.asarray(generator.standard_normal(shape, wide))
    return (values if scale == 1 else np.multiply(values, wide(scale))).astype(np.dtype(dtype), copy=False)


def uniform(generator: Generator, least: float, most: float, shape: Shape, dtype: str) -> np.ndarray:
    """Numbers between two others, rounded to `dtype`."""
    return np.asarray(generator.uniform(least, most, shape)).astype(np.dtype(dtype))


def draw_input(problem: Any, generator: Generator) -> Arguments:
    return {"x": normal(generator, problem.shape, problem.dtype)}


def draw_output_gradient(problem: Any, generator: Generator) -> Arguments:
    return {"gy": normal(generator, problem.output_shape, problem.dtype)}
