"""Random numbers, sizes and arrays, of which the contracts draw their arguments and odd problems."""

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


def number(generator: Generator, least: int, most: int) -> int:
    """An integer, `most` included."""
    return int(generator.integers(least, most + 1))


def pair(generator: Generator, least: int, most: int) -> tuple[int, int]:
    return number(generator, least, most), number(generator, least, most)


def images(generator: Generator, channels: int = 19) -> tuple[int, int, int, int]:
    """The shape of one to three small images."""
    return (number(generator, 1, 3), number(generator, 1, channels), *pair(generator, 2, 13))
