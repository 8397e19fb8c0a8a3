"""CUDA kernels where the emulator is not proof enough: tensor cores, 16 bits, every tile, whole layers.

The drawn shapes of tests/kernels run on a GPU from there; these are chosen ones.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from claims.variants import LAYOUTS, OnGpu, assert_variant_matches_oracle, lay_out, without_gpu
from minigrad.kernels import batch_norm, conv2d, matmul, pool2d
from minigrad.kernels.arrays import on_host
from minigrad.kernels.conv2d import Conv2dProblem, cuda_implicit_gemm
from minigrad.kernels.matmul import cuda as matmul_cuda
from minigrad.kernels.matmul.problem import MatmulProblem
from minigrad.kernels.matmul.tiles import TILES, Tile, fits, lanes_of
from minigrad.kernels.registry import Operation, use_kernels

pytestmark = [pytest.mark.gpu, without_gpu]

DTYPES = {name: np.dtype(name) for name in ("float32", "float64", "float16")}
DTYPES["bfloat16"] = np.dtype(ml_dtypes.bfloat16)
SIXTEEN = ("float16", "bfloat16")
# Half a unit in the last place of what is stored, and a little for sums in float32. tf32 keeps 11 bits of both
# factors of a product.
TOLERANCES = {"float32": 5e-6, "float64": 1e-12, "float16": 1.01 * 2**-11, "bfloat16": 1.01 * 2**-8}
TF32 = 2**-10
TENSOR_CORES = ("implicit_gemm_tensor_core", "tensor_core")

CONVOLUTIONS = (conv2d.forward, conv2d.forward_relu, conv2d.input_gradient, conv2d.weight_gradient)
LAYERS = {  # images, channels, size, filters, filter; stride, padding
    "stem": Conv2dProblem(2, 3, (224, 224), 64, (7, 7), (2, 2), (3, 3)),
    "3x3 of 3a": Conv2dProblem(4, 96, (28, 28), 128, (3, 3), padding=(1, 1)),
    "1x1 of 4e": Conv2dProblem(4, 528, (14, 14), 256, (1, 1)),
    "5x5 of 5b": Conv2dProblem(8, 48, (7, 7), 128, (5, 5), padding=(2, 2)),
    "odd channels, groups": Conv2dProblem(3, 15, (9, 11), 21, (3, 2), (2, 1), (1, 0), (1, 2), 3),
}


def tolerance_of(variant: str, dtype: str) -> float:
    return TF32 if variant in TENSOR_CORES and dtype == "float32" else TOLERANCES[dtype]


def normal(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(DTYPES[dtype])


def of_convolution(operation: Operation, problem: Conv2dProblem) -> tuple[Any, ...]:
    """What follows the problem in a call."""
    x, gy = (
        lay_out(normal(s, problem.dtype), "channels_last") for s in (problem.input_shape, problem.output_shape)
    )
    weight = normal(problem.weight_shape, problem.dtype, 1)
    if operation is conv2d.input_gradient:
        return gy, weight
    return (
        (x, gy) if operation is conv2d.weight_gradient else (x, weight, normal((len(weight),), problem.dtype, 2))
    )


def cuda_variants(*operations: Operation) -> Any:
    return pytest.mark.parametrize(
        ("operation", "variant"),
        [(op, OnGpu(v.name)) for op in operations for v in op.variants.values() if v.device == "cuda"],
        ids=lambda value: value if isinstance(value, str) else value.name,
    )


def tiles(*variants: tuple[str, str]) -> Any:
    return pytest.mark.parametrize(
        ("variant", "dtype", "tile"),
        [
            pytest.param(OnGpu(variant), dtype, tile, id=f"{variant}-{dtype}-{tile.rows}x{tile.columns}")
            for variant, dtype in variants
            for tile in TILES
            if fits(tile, lanes_of(dtype), dtype)
        ],
    )


@cuda_variants(*CONVOLUTIONS)
@pytest.mark.parametrize("dtype", ["float32", *SIXTEEN])
@pytest.mark.parametrize("layer", LAYERS)
def test_convolution_of_a_layer(operation: Operation, variant: str, layer: str, dtype: str) -> None:
    base = LAYERS[layer]
    problem = Conv2dProblem(
        base.batch, base.in_channels, base.input_size, base.out_channels, base.filter_size, base.stride,
        base.padding, base.dilation, base.groups, dtype,
    )  # fmt: skip
    arguments = of_convolution(operation, problem)
    assert_variant_matches_oracle(operation, variant, problem, arguments, tolerance_of(variant, dtype))


@pytest.mark.parametrize("operation", CONVOLUTIONS, ids=lambda operation: operation.name)
@tiles(
    ("implicit_gemm", "float32"), ("implicit_gemm", "float64"), ("implicit_gemm_tensor_core", "float32"),
    ("implicit_gemm_tensor_core", "float16"), ("implicit_gemm_tensor_core", "bfloat16"),
)  # fmt: skip
def test_every_tile_of_convolution(
    monkeypatch: pytest.MonkeyPatch, operation: Operation, variant: str, dtype: str, tile: Tile
) -> None:
    monkeypatch.setattr(cuda_implicit_gemm, "choose_tile", lambda *_: tile)
    problem = Conv2dProblem(2, 24, (13, 12), 136, (3, 3), padding=(1, 1), dtype=dtype)
    arguments = of_convolution(operation, problem)
    assert_variant_matches_oracle(operation, variant, problem, arguments, tolerance_of(variant, dtype))


@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@tiles(
    ("tiled", "float32"), ("tiled", "float64"), ("tensor_core", "float32"), ("tensor_core", "float16"),
    ("tensor_core", "bfloat16"),
)  # fmt: skip
def test_every_tile_of_matmul(
    monkeypatch: pytest.MonkeyPatch, variant: str, dtype: str, tile: Tile, transposed: tuple[bool, bool]
) -> None:
    monkeypatch.setattr(matmul_cuda, "choose_tile", lambda *_: tile)
    problem = MatmulProblem((2, 150, 100), (100, 136), dtype)
    factors = []
    for shape, turned in zip((problem.left, problem.right), transposed, strict=True):
        array = normal(shape, dtype)
        factors.append(np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2) if turned else array)
    assert_variant_matches_oracle(matmul.matmul, variant, problem, factors, tolerance_of(variant, dtype))


@cuda_variants(batch_norm.forward_training, batch_norm.forward_evaluation, batch_norm.backward_training)
@pytest.mark.parametrize("dtype", SIXTEEN)
@pytest.mark.parametrize("shape", [(4, 64, 56, 56), (3, 5, 6, 8)])
def test_batch_norm_of_16_bits(
    operation: Operation, variant: str, dtype: str, shape: tuple[int, int, int, int]
) -> None:
    problem = batch_norm.BatchNormProblem(shape, 1e-3, True, dtype)
    x, gy = (lay_out(normal(shape, dtype, seed), "channels_last") for seed in (0, 1))
    weight, bias, mean = (normal(shape[1:2], "float32", seed) for seed in (2, 3, 4))
    variance = np.abs(normal(shape[1:2], "float32", 5)) + 0.1
    arguments = {
        batch_norm.forward_training: (x, weight, bias),
        batch_norm.forward_evaluation: (x, weight, bias, mean, variance),
        batch_norm.backward_training: (gy, x, weight, bias, mean, 1 / np.sqrt(variance)),
    }[operation]
    assert_variant_matches_oracle(operation, variant, problem, arguments, wide="float32")


@pytest.mark.parametrize("dtype", SIXTEEN)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pooling_of_16_bits(dtype: str, layout: str) -> None:
    if dtype == "bfloat16" and layout not in ("contiguous", "channels_last"):
        pytest.skip("NumPy knows no NaN of this type to put between the elements")
    problem = pool2d.Pool2dProblem((4, 64, 28, 27), (3, 3), (2, 2), (1, 1), dtype=dtype)
    x, gy = (lay_out(normal(s, dtype), layout) for s in (problem.shape, problem.output_shape))
    with use_kernels(pool2d="reference"):
        _, indices = pool2d.max_forward(problem, on_host(x).astype(np.float64))
    rows = OnGpu("rows")
    assert_variant_matches_oracle(pool2d.max_forward, rows, problem, (x,))
    assert_variant_matches_oracle(pool2d.max_values, rows, problem, (x,))
    assert_variant_matches_oracle(pool2d.max_input_gradient, rows, problem, (gy, indices))
