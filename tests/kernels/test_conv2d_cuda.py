"""Convolution's CUDA kernels, where they differ from the CPU's: 16 bits, tiles of all sizes, slices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims.variants import (
    LAYOUTS,
    assert_close,
    assert_variant_matches_oracle,
    emulated,
    lay_out,
    without_compiler,
)
from minigrad.kernels import conv2d
from minigrad.kernels.conv2d import Conv2dProblem, cuda_implicit_gemm
from minigrad.kernels.cuda import launch
from minigrad.kernels.cuda.emulation import thread_order
from minigrad.kernels.errors import ShapeError
from minigrad.kernels.matmul.tiles import TILES, Tile, fits, lanes_of

pytestmark = without_compiler

OPERATIONS = (conv2d.forward, conv2d.forward_relu, conv2d.input_gradient, conv2d.weight_gradient)
ORDERS = (0, 1, 2, 7)  # of threads
# Sums are float32; tf32 keeps 11 bits of both factors, so that each product errs by up to 2^-11 + 2^-11.
# 16-bit results are rounded once, to 11 or 8 bits, half a unit in the last place; the sums add little.
TOLERANCES = {"float32": 5e-6, "float64": 1e-12, "float16": 1.01 * 2**-11, "bfloat16": 1.01 * 2**-8}
TF32 = 2**-10


def tolerance_of(variant: str, dtype: str) -> float:
    return TF32 if (variant, dtype) == ("implicit_gemm_tensor_core", "float32") else TOLERANCES[dtype]


def element_type(dtype: str) -> np.dtype:
    return pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else np.dtype(dtype)


def arguments_of(operation: Any, problem: Conv2dProblem, layout: str = "channels_last") -> tuple[Any, ...]:
    """What follows the problem in a call; with a bias where there may be one."""
    generator = np.random.default_rng(0)
    x, weight, bias, gy = (
        generator.standard_normal(shape).astype(element_type(problem.dtype))
        for shape in (problem.input_shape, problem.weight_shape, (problem.out_channels,), problem.output_shape)
    )
    if layout != "contiguous" and problem.dtype == "bfloat16":
        layout = "channels_last"  # NumPy knows no NaN to put between this type's elements
    x, gy = lay_out(x, layout), lay_out(gy, layout)
    if operation is conv2d.input_gradient:
        return gy, weight
    return (x, gy) if operation is conv2d.weight_gradient else (x, weight, bias)


def assert_right(operation: Any, variant: str, problem: Conv2dProblem, layout: str = "channels_last") -> None:
    arguments = arguments_of(operation, problem, layout)
    assert_variant_matches_oracle(operation, variant, problem, arguments, tolerance_of(variant, problem.dtype))


every_cuda_variant = pytest.mark.parametrize(
    ("operation", "variant"),
    [(op, v.name) for op in OPERATIONS for v in op.variants.values() if v.device == "cuda"],
    ids=lambda value: value if isinstance(value, str) else value.name,
)


@every_cuda_variant
@given(
    images=st.integers(0, 2),
    channels=st.integers(1, 70),
    filters=st.integers(1, 70),
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    extent=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
    groups=st.sampled_from([1, 1, 2, 3]),
    dtype=st.sampled_from(["float16", "bfloat16"]),
    layout=st.sampled_from(LAYOUTS),
)
def test_sixteen_bits(
    operation: Any,
    variant: str,
    images: int,
    channels: int,
    filters: int,
    size: tuple[int, int],
    extent: tuple[int, int],
    stride: int,
    groups: int,
    dtype: str,
    layout: str,
) -> None:
    """Any number of channels, those too that fill no 16 bytes; or the variant refuses the type in words."""
    channels, filters = -(-channels // groups) * groups, -(-filters // groups) * groups
    problem = Conv2dProblem(
        images, channels, size, filters, extent, (stride, stride), (1, 0), groups=groups, dtype=dtype
    )
    assert_right(operation, variant, problem, layout)


TILED = [
    ("implicit_gemm", "float32"),
    ("implicit_gemm", "float64"),
    ("implicit_gemm_tensor_core", "float32"),
    ("implicit_gemm_tensor_core", "float16"),
    ("implicit_gemm_tensor_core", "bfloat16"),
]
every_tile = pytest.mark.parametrize(
    ("variant", "dtype", "tile"),
    [
        pytest.param(variant, dtype, tile, id=f"{variant}-{dtype}-{tile.rows}x{tile.columns}")
        for variant, dtype in TILED
        for tile in TILES
        if fits(tile, lanes_of(dtype), dtype)
    ],
)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@every_tile
def test_every_tile(monkeypatch: pytest.MonkeyPatch, operation: Any, variant: str, dtype: str, tile: Tile) -> None:
    """Several tiles in each direction, the last of each not full; several parts of the filter's gradient."""
    monkeypatch.setattr(cuda_implicit_gemm, "choose_tile", lambda *_: tile)
    assert_right(operation, variant, Conv2dProblem(2, 24, (13, 12), 136, (3, 3), padding=(1, 1), dtype=dtype))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("channels", [3, 4])
def test_the_first_layer_of_a_network_in_sixteen_bits(operation: Any, dtype: str, channels: int) -> None:
    """Few channels are fetched by 8 bytes."""
    problem = Conv2dProblem(1, channels, (21, 19), 64, (7, 7), (2, 2), (3, 3), dtype=dtype)
    assert_right(operation, "implicit_gemm_tensor_core", problem)


@pytest.mark.parametrize(("variant", "dtype"), TILED)
@pytest.mark.parametrize(
    "problem",
    [
        Conv2dProblem(2, 72, (9, 8), 44, (3, 2), padding=(1, 0)),
        Conv2dProblem(1, 96, (9, 8), 64, (3, 3), (2, 2), groups=2),
    ],
    ids=["gy filled up", "groups"],
)
def test_a_filter_that_lies_channels_last_is_read_as_it_lies(
    monkeypatch: pytest.MonkeyPatch, problem: Conv2dProblem, variant: str, dtype: str
) -> None:
    """To the bits of one that is packed first, in every order of threads."""
    problem = replace(problem, dtype=dtype)
    launched: list[str] = []
    monkeypatch.setattr(launch, "launch_listeners", [lambda kernel, *_: launched.append(kernel.name)])
    for operation in (conv2d.forward, conv2d.input_gradient):
        first, weight, *_ = arguments_of(operation, problem)
        bias = (None,) if operation is conv2d.forward else ()
        function = operation.variants[variant].function
        packed = function(problem, emulated(first), emulated(weight), *bias)
        launched.clear()
        for order in ORDERS:
            with thread_order(order):
                found = function(problem, emulated(first), emulated(lay_out(weight, "channels_last")), *bias)
            assert found.tobytes() == packed.tobytes()
        tf32 = variant == "implicit_gemm_tensor_core" and dtype == "float32"
        assert ("pack" in launched) == (tf32 and operation is conv2d.input_gradient)


@every_tile
@pytest.mark.parametrize("groups", [1, 2])
def test_statistics_are_those_of_what_was_written(
    monkeypatch: pytest.MonkeyPatch, variant: str, dtype: str, tile: Tile, groups: int
) -> None:
    """Also where channels are far from zero, and in every order of threads to the bit."""
    monkeypatch.setattr(cuda_implicit_gemm, "choose_tile", lambda *_: tile)
    monkeypatch.setattr(cuda_implicit_gemm, "MERGED", 2)  # parts are merged in several launches
    problem = Conv2dProblem(3, 16, (13, 12), 144, (3, 3), padding=(1, 1), groups=groups, dtype=dtype)
    x, weight, bias = arguments_of(conv2d.forward, problem)
    arguments = [emulated(array) for array in (x, weight, 100 * bias)]
    function = conv2d.forward_statistics.variants[variant].function
    y, mean, variance = function(problem, *arguments)
    without = conv2d.forward.variants[variant].function(problem, *arguments)
    assert y.tobytes() == without.tobytes()
    wide = np.array(y, np.float64)
    assert mean.dtype == variance.dtype == ("float64" if dtype == "float64" else "float32")
    # Merging some twenty parts loses a few units in the last place; the variance, of squares, some more.
    exact = 1e-14 if dtype == "float64" else 2e-6
    np.testing.assert_allclose(mean, wide.mean((0, 2, 3)), rtol=exact, atol=exact * 100)
    np.testing.assert_allclose(variance, wide.var((0, 2, 3)), rtol=10 * exact)
    with thread_order(7):
        assert [a.tobytes() for a in function(problem, *arguments)] == [a.tobytes() for a in (y, mean, variance)]


EACH_ONCE = [("cuda_direct", "float32"), ("implicit_gemm", "float32"), ("implicit_gemm_tensor_core", "float16")]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@pytest.mark.parametrize(("variant", "dtype"), EACH_ONCE)
def test_every_order_of_threads_gives_the_same_bits(operation: Any, variant: str, dtype: str) -> None:
    problem = Conv2dProblem(2, 20, (12, 11), 40, (3, 3), padding=(1, 1), dtype=dtype)
    arguments = [emulated(array) for array in arguments_of(operation, problem)]
    results = set()
    for order in ORDERS:
        with thread_order(order):
            results.add(np.array(operation.variants[variant].function(problem, *arguments)).tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("operation", OPERATIONS[:2], ids=lambda operation: operation.name)
@pytest.mark.parametrize(("variant", "dtype"), EACH_ONCE)
@pytest.mark.parametrize("before", [16, 3])
def test_a_result_may_go_into_a_slice_of_channels(operation: Any, variant: str, dtype: str, before: int) -> None:
    """Whether or not the slice begins at 16 bytes; what lies beside it stays as it was."""
    problem = Conv2dProblem(2, 16, (6, 5), 24, (3, 3), padding=(1, 1), dtype=dtype)
    arguments = [emulated(array) for array in arguments_of(operation, problem)]
    n, k, p, q = problem.output_shape
    whole = emulated(np.full((n, p, q, before + k + 8), 7, dtype))
    out = whole[..., before : before + k].transpose(0, 3, 1, 2)
    function = operation.variants[variant].function
    assert function(problem, *arguments, out=out) is out
    assert_close(np.array(out), np.array(function(problem, *arguments), np.float64), 0)
    assert (np.array(whole[..., :before]) == 7).all()
    assert (np.array(whole[..., before + k :]) == 7).all()


@pytest.mark.parametrize("variant", ["cuda_direct", "implicit_gemm"])
@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        (
            (2, 4, 6, 5),
            "float32",
            r"out must be float32 of shape \(2, 5, 6, 5\) on emulated, got float32",
        ),
        ((2, 5, 6, 5), "float64", "out must be float32 of .* got float64"),
        ((2, 5, 6, 5), "float32", "out must lie channels-last"),
    ],
)
def test_a_place_for_the_result_that_does_not_fit(
    variant: str, shape: tuple[int, ...], dtype: str, message: str
) -> None:
    problem = Conv2dProblem(2, 4, (6, 5), 5, (3, 3), padding=(1, 1))
    arguments = [emulated(array) for array in arguments_of(conv2d.forward, problem)]
    out = emulated(np.zeros(shape, dtype))
    with pytest.raises(ShapeError, match=message):
        conv2d.forward.variants[variant].function(problem, *arguments, out=out)


@pytest.mark.parametrize(
    ("dtype", "chosen"),
    [
        ("float32", "implicit_gemm"),  # tf32 rounds, so nobody gets it without having asked
        ("float64", "implicit_gemm"),
        ("float16", "implicit_gemm_tensor_core"),
        ("bfloat16", "implicit_gemm_tensor_core"),
    ],
)
def test_what_is_chosen_for_each_type(dtype: str, chosen: str) -> None:
    problem = replace(Conv2dProblem(1, 8, (8, 8), 8, (3, 3)), dtype=dtype)
    assert {operation.select(problem, "cuda").name for operation in OPERATIONS} == {chosen}


@pytest.mark.parametrize("variant", ["implicit_gemm", "implicit_gemm_tensor_core"])
def test_more_pixels_than_32_bits_can_count_are_refused(variant: str) -> None:
    problem = Conv2dProblem(2**15, 1, (256, 256), 1, (1, 1))
    obstacle = conv2d.forward.variants[variant].obstacle(problem, "cuda")
    assert obstacle == "it counts pixels in 32 bits"


@given(number=st.integers(1, 2**31 - 1), x=st.integers(0, 2**31 - 1))
def test_division_by_multiplication(number: int, x: int) -> None:
    """As windows.cuh does it."""
    _, multiplier, shift = cuda_implicit_gemm.divisor(number)
    assert (x * (multiplier % 2**32) // 2**32 + x) >> shift == x // number
