"""Filters as the CUDA kernels of implicit_gemm.cu read and sum them: the launches of filters.cu."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import Array
from ..cuda.buffers import address, contiguous, empty
from ..cuda.dtypes import REAL
from ..cuda.launch import CudaSource, struct
from ..matmul.tiles import lanes_of
from .problem import Conv2dProblem

THREADS = 256

FILTERS = CudaSource("conv2d/filters.cu", REAL=tuple(REAL.values()))


class FilterOrder(NamedTuple):
    """How far it is from one output channel, tap and input channel of a filter to the next, in elements."""

    filter: int
    tap: int
    channel: int


def filter_as_it_lies(problem: Conv2dProblem, weight: Array) -> tuple[Array, FilterOrder]:
    """The filter, and how far from one output channel, tap and input channel to the next, in elements.

    A filter that lies channels-last stays so, any other one is made C-contiguous.
    """
    _, c, r, s = problem.weight_shape
    if weight.transpose(0, 2, 3, 1).flags.c_contiguous:
        return weight, FilterOrder(r * s * c, c, 1)
    return contiguous(weight), FilterOrder(c * r * s, 1, r * s)


def can_be_read_turned(problem: Conv2dProblem, weight: Array, order: FilterOrder, tensor_core: bool) -> bool:
    """Whether the gradient of the input reads this filter as it lies.

    Its channels are then fetched by 16 bytes, as those of gy are. (Tensor cores would read tf32 one by one.)
    """
    k, c, _, _ = problem.weight_shape
    lanes = lanes_of(problem.dtype)
    whole = c % lanes == 0 and (problem.groups == 1 or k // problem.groups % lanes == 0) and k > 4
    fits = weight.size < 2**31 and not (tensor_core and problem.dtype == "float32")
    return whole and fits and order.channel == 1 and _is_aligned(weight)


def packed_filter(
    weight: Array, strides: tuple[int, ...], groups: int, targets: int, taps: int, sources: int, padded: int
) -> Array:
    """The rows (group, target, (tap, source)) for `convolve`; `strides` are `FilterStrides` of filters.cu."""
    if strides[2:] == (taps * padded, padded, 1) and _is_aligned(weight):
        return weight  # it lies so already
    packed = empty((groups * targets, taps * padded), weight.dtype, like=weight)
    FILTERS.kernel("pack", REAL=REAL[weight.dtype.name])(
        _blocks(packed.size), (THREADS,), weight, struct(*strides),
        *map(np.int32, (groups, targets, taps, sources, padded)), packed,
    )  # fmt: skip
    return packed


def _is_aligned(weight: Array) -> bool:
    return address(weight) % 16 == 0


def added_parts(problem: Conv2dProblem, sums: Array, padded: int) -> Array:
    """The gradient of the filter from sums (group, part, k, (tap, c)), c below `padded`."""
    _, sources, r, s = problem.weight_shape
    groups, parts, targets, columns = sums.shape
    gweight = empty(problem.weight_shape, np.dtype(problem.dtype), like=sums)
    FILTERS.kernel("add_parts", REAL=REAL[problem.dtype])(
        _blocks(groups * targets * columns), (THREADS,), sums,
        *map(np.int32, (parts, groups, targets, r * s, sources, padded)), gweight,
    )  # fmt: skip
    return gweight


def _blocks(elements: int) -> tuple[int]:
    return (-(-elements // THREADS),)
