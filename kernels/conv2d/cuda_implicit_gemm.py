"""Convolution on CUDA as a product of matrices: the launches of implicit_gemm.cu and filters.cu.

- `implicit_gemm`              float32 and float64, by fused multiply-adds;
- `implicit_gemm_tensor_core`  float16 and bfloat16 with float32 sums; float32 rounded to tf32 (10 bits of
                               mantissa) only where it is asked for by name.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..arrays import Array
from ..cuda.buffers import address, channels_last, contiguous, empty, empty_channels_last, pixel_distance
from ..cuda.dtypes import REAL, refuses_other_dtypes
from ..cuda.launch import CudaSource, struct
from ..matmul.tiles import BUSY, DEFINITIONS, SLICE_BYTES, choose_tile, defines, lanes_of, never_compiled
from . import forward, forward_relu, forward_statistics, input_gradient, weight_gradient
from .cuda_filters import added_parts, can_be_read_turned, filter_as_it_lies, packed_filter
from .geometry import Geometry, forward_geometry, transposed_geometry
from .output import result
from .problem import Conv2dProblem
from .reference import refuses_empty

MERGED = 256  # parts of moments that one block merges
FEWEST_SLICES = 4  # a block's part of a split sum is not shorter than this

PRODUCTS = CudaSource("conv2d/implicit_gemm.cu", never_compiled, **DEFINITIONS)
MOMENTS = CudaSource("conv2d/moments.cu", SUM=("float", "double"))


@functools.cache
def divisor(number: int) -> tuple[int, int, int]:
    """`Divisor` of windows.cuh; its multiplier has 32 bits without a sign, which an int of a struct has, too."""
    shift = (number - 1).bit_length()
    multiplier = (((1 << shift) - number) << 32) // number + 1
    return number, multiplier - (1 << 32) if multiplier >> 31 else multiplier, shift


@functools.cache
def gather_of(geometry: Geometry, images: int, channels: int) -> np.ndarray:
    """`Gather` of windows.cuh."""
    height, width, p, q, r, s = geometry[:6]
    return struct(
        *divisor(p * q), *divisor(q), *divisor(channels), *divisor(s),
        height, width, *geometry[6:], images * p * q, r * s * channels,
    )  # fmt: skip


def fetchable(array: Array, groups: int) -> tuple[Array, int, int]:
    """`array` lying so that it can be fetched, the channels that each group then has, and how many at once.

    Channels that fill no 16 bytes get zeros behind them, in a copy; a network's first few channels go by 8 bytes.
    Groups cannot be moved apart, and then channels are fetched one by one.
    """
    array = channels_last(array)
    n, channels, h, w = array.shape
    vector = lanes_of(array.dtype.name)
    if groups > 1 and channels // groups % vector:
        return array, channels // groups, 1
    if vector == 8 and channels <= 4:
        vector = 4
    padded = -(-channels // vector) * vector
    aligned = pixel_distance(array) % vector == 0 and address(array) % (vector * array.itemsize) == 0
    if padded != channels or not aligned:
        copy = empty_channels_last((n, padded, h, w), array.dtype, like=array)
        copy[:, :channels] = array
        copy[:, channels:] = 0
        array = copy
    return array, padded // groups, vector


def _convolve(
    problem: Conv2dProblem,
    geometry: Geometry,
    x: Array,
    weight: Array,
    strides: tuple[int, ...],
    bias: Array | None,
    y: Array,
    tensor_core: bool,
    relu: bool = False,
    statistics: bool = False,
) -> Array:
    """Gather `x` into `y`; for the gradient of the input, these are gy and gx. Gives the moments of y, or None."""
    groups, taps = problem.groups, geometry[4] * geometry[5]
    sources, targets = x.shape[1] // groups, y.shape[1] // groups
    x, padded, vector = fetchable(x, groups)
    gather = gather_of(geometry, problem.batch, padded)
    rows = problem.batch * geometry[2] * geometry[3]
    tile = choose_tile(rows, targets, groups, vector, problem.dtype)
    given = defines(problem.dtype, tile, vector, tensor_core)
    arguments = (
        gather, x, np.int32(pixel_distance(x)),
        packed_filter(weight, strides, groups, targets, taps, sources, padded), np.int32(targets),
        None if bias is None else contiguous(bias), y, np.int32(pixel_distance(y)),
        np.int32(_in_whole_vectors(y, groups)),
    )  # fmt: skip
    grid, threads = (tile.number(rows, targets), 1, groups), (tile.threads,)
    shared = tile.shared_bytes(tensor_core)
    if not statistics:
        PRODUCTS.kernel("convolve", **given)(grid, threads, *arguments, np.int32(relu), shared_bytes=shared)
        return None
    moments = empty((-(-rows // tile.rows), y.shape[1], 3), _wide(problem), like=y)
    PRODUCTS.kernel("convolve_with_moments", **given)(grid, threads, *arguments, moments, shared_bytes=shared)
    return moments


def _wide(problem: Conv2dProblem) -> type[np.floating]:
    """The type of sums."""
    return np.float64 if problem.dtype == "float64" else np.float32


def _in_whole_vectors(y: Array, groups: int) -> bool:
    """Whether each group of each pixel begins at 16 bytes."""
    lanes = lanes_of(y.dtype.name)
    channels = y.shape[1] // groups if groups > 1 else lanes
    return pixel_distance(y) % lanes == 0 and channels % lanes == 0 and address(y) % 16 == 0


def _forward(
    problem: Conv2dProblem,
    x: Array,
    weight: Array,
    bias: Array | None,
    out: Array | None,
    tensor_core: bool,
    relu: bool = False,
    statistics: bool = False,
) -> tuple[Array, Array]:
    """y and, where they are wanted, its moments."""
    weight, order = filter_as_it_lies(problem, weight)
    strides = (0, problem.weight_shape[0] // problem.groups * order.filter, *order)
    y = result(problem.output_shape, x, out)
    geometry = forward_geometry(problem)
    return y, _convolve(problem, geometry, x, weight, strides, bias, y, tensor_core, relu, statistics)


def _mean_and_variance(problem: Conv2dProblem, moments: Array) -> tuple[Array, Array]:
    """Of each channel, from the moments of tiles (tile, channel, 3)."""
    wide = _wide(problem)
    defines = {"SUM": REAL[np.dtype(wide).name]}
    while len(moments) > MERGED:
        parts, channels, _ = moments.shape
        merged = empty((-(-parts // MERGED), channels, 3), wide, like=moments)
        sizes = (np.int32(size) for size in (parts, MERGED, channels))
        grid = -(-channels // 32), len(merged)
        MOMENTS.kernel("merge", **defines)(grid, (32, 8), moments, *sizes, merged)
        moments = merged
    parts, channels, _ = moments.shape
    mean, variance = empty((channels,), wide, like=moments), empty((channels,), wide, like=moments)
    sizes = (np.int32(size) for size in (parts, channels))
    MOMENTS.kernel("finish", **defines)((-(-channels // 32),), (32, 8), moments, *sizes, mean, variance)
    return mean, variance


def _input_gradient(problem: Conv2dProblem, gy: Array, weight: Array, tensor_core: bool) -> Array:
    k, _, r, s = problem.weight_shape
    weight, order = filter_as_it_lies(problem, weight)
    gx = empty_channels_last(problem.input_shape, gy.dtype, like=gy)
    geometry = transposed_geometry(problem)
    if can_be_read_turned(problem, weight, order, tensor_core):
        _convolve_turned(problem, geometry, gy, weight, gx, tensor_core)
        return gx
    start, group = (r * s - 1) * order.tap, k // problem.groups * order.filter
    strides = (start, group, order.channel, -order.tap, order.filter)
    _convolve(problem, geometry, gy, weight, strides, None, gx, tensor_core)
    return gx


def _convolve_turned(
    problem: Conv2dProblem, geometry: Geometry, gy: Array, weight: Array, gx: Array, tensor_core: bool
) -> None:
    """The gradient of the input from a filter that need not be written down in another order."""
    groups = problem.groups
    sources, targets = gy.shape[1] // groups, gx.shape[1] // groups
    gy, padded, vector = fetchable(gy, groups)
    gather = gather_of(geometry, problem.batch, padded)
    rows = problem.batch * geometry[2] * geometry[3]
    tile = choose_tile(rows, targets, groups, vector, problem.dtype)
    PRODUCTS.kernel("convolve_turned", **defines(problem.dtype, tile, vector, tensor_core))(
        (tile.number(rows, targets), 1, groups), (tile.threads,), gather, gy, np.int32(pixel_distance(gy)), weight,
        np.int32(targets), None, gx, np.int32(pixel_distance(gx)), np.int32(_in_whole_vectors(gx, groups)),
        np.int32(sources), shared_bytes=tile.shared_bytes(tensor_core),
    )  # fmt: skip


def _weight_gradient(problem: Conv2dProblem, x: Array, gy: Array, tensor_core: bool) -> Array:
    k, _, r, s = problem.weight_shape
    groups, taps, targets = problem.groups, r * s, k // problem.groups
    x, padded, vector = fetchable(x, groups)
    gy, _, gy_vector = fetchable(gy, groups)
    vector = min(vector, gy_vector)
    gather = gather_of(forward_geometry(problem), problem.batch, padded)
    pixels, columns = problem.batch * problem.output_size[0] * problem.output_size[1], taps * padded
    tile = choose_tile(targets, columns, groups * BUSY, vector, problem.dtype)  # split, there are blocks enough
    slice_pixels = SLICE_BYTES // x.itemsize
    slices = -(-pixels // slice_pixels)
    tiles = tile.number(targets, columns)
    wanted = max(1, min(2 * BUSY // (tiles * groups), slices // FEWEST_SLICES))
    part = max(1, -(-slices // wanted)) * slice_pixels
    parts = -(-pixels // part)
    sums = empty((groups, parts, targets, columns), _wide(problem), like=x)
    PRODUCTS.kernel("weight_gradient", **defines(problem.dtype, tile, vector, tensor_core))(
        (tiles, parts, groups), (tile.threads,), gather, x, np.int32(pixel_distance(x)), gy,
        np.int32(pixel_distance(gy)), np.int32(targets), np.int32(part), sums, np.int32(columns % 4 == 0),
        shared_bytes=tile.shared_bytes(tensor_core),
    )  # fmt: skip
    return added_parts(problem, sums, padded)


def _refuses_many_pixels(problem: Conv2dProblem) -> str | None:
    most = problem.batch * max(math.prod(problem.input_size), math.prod(problem.output_size))
    return "it counts pixels in 32 bits" if most >= 2**31 - 128 else None  # the last tile may reach beyond


def _refuses_16_bits(problem: Conv2dProblem) -> str | None:
    return refuses_other_dtypes(problem, ("float32", "float64")) or _refuses_many_pixels(problem)


def _refuses_float64(problem: Conv2dProblem) -> str | None:
    if problem.dtype in ("float16", "bfloat16", "float32"):
        return _refuses_many_pixels(problem)
    return f"tensor cores are used for float16, bfloat16 and float32 (as tf32), not for {problem.dtype}"


def _tensor_core_priority(problem: Conv2dProblem) -> int:
    return 30 if problem.dtype in ("float16", "bfloat16") else 5


def _register(name: str, tensor_core: bool, priority: Any, refuses: Any) -> None:
    def options(operation: Any) -> Any:
        return operation.variant(name, device="cuda", priority=priority, refuses=refuses)

    @options(forward)
    def forward_gemm(
        problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None, out: Array | None = None
    ) -> Array:
        return _forward(problem, x, weight, bias, out, tensor_core)[0]

    @options(forward_relu)
    def forward_relu_gemm(
        problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None, out: Array | None = None
    ) -> Array:
        return _forward(problem, x, weight, bias, out, tensor_core, relu=True)[0]

    @forward_statistics.variant(
        name, device="cuda", priority=priority, refuses=lambda problem: refuses_empty(problem) or refuses(problem)
    )
    def forward_statistics_gemm(
        problem: Conv2dProblem, x: Array, weight: Array, bias: Array | None, out: Array | None = None
    ) -> tuple[Array, Array, Array]:
        y, moments = _forward(problem, x, weight, bias, out, tensor_core, statistics=True)
        return y, *_mean_and_variance(problem, moments)

    @options(input_gradient)
    def input_gradient_gemm(problem: Conv2dProblem, gy: Array, weight: Array) -> Array:
        return _input_gradient(problem, gy, weight, tensor_core)

    @options(weight_gradient)
    def weight_gradient_gemm(problem: Conv2dProblem, x: Array, gy: Array) -> Array:
        return _weight_gradient(problem, x, gy, tensor_core)


_register("implicit_gemm", False, 20, _refuses_16_bits)
_register("implicit_gemm_tensor_core", True, _tensor_core_priority, _refuses_float64)
