"""Matrix products: every variant is NumPy's, for any strides, stacks and sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims.variants import assert_variant_matches_oracle, emulated, every_variant, without_compiler
from minigrad.kernels.cpu.gemm import gemm
from minigrad.kernels.cuda.emulation import thread_order
from minigrad.kernels.errors import ShapeError
from minigrad.kernels.matmul import MatmulProblem, cuda, matmul
from minigrad.kernels.matmul.tiles import TILES, Tile, fits, lanes_of

# Sums of n products in float32 err by sqrt(n) * 6e-8 or less; tf32 keeps 11 bits of both factors of a product,
# which errs by up to 2^-11 + 2^-11. 16-bit results are rounded once, to 11 or 8 bits; the sums add little.
TOLERANCES = {"float32": 2e-6, "float64": 1e-13, "float16": 1.01 * 2**-11, "bfloat16": 1.01 * 2**-8}
LIES = ("as it is", "transposed", "every other element", "slice")
STACKS = [((), ()), ((3,), ()), ((2, 3), ()), ((2, 1), (3,)), ((), (2,)), ((1,), (4,)), ((0,), ())]
EACH_ONCE = [("cuda_direct", "float32"), ("tiled", "float32"), ("tensor_core", "float16")]


def tolerance_of(variant: str, dtype: str) -> float:
    return 2**-10 if (variant, dtype) == ("tensor_core", "float32") else TOLERANCES[dtype]


def lay(array: np.ndarray, how: str) -> np.ndarray:
    """The same values, with other strides of the last two axes."""
    *stack, rows, columns = array.shape
    if how == "transposed":
        return np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2)
    if how == "as it is":
        return array.copy()
    step = 2 if how == "every other element" else 1
    wider = np.ones((*stack, rows, step * columns + 3), array.dtype)
    view = wider[..., 1 : 1 + step * columns : step]
    view[...] = array
    return view


def factors(problem: MatmulProblem, left: str = "as it is", right: str = "as it is") -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(0)
    dtype = pytest.importorskip("ml_dtypes").bfloat16 if problem.dtype == "bfloat16" else problem.dtype
    a, b = (generator.standard_normal(shape).astype(dtype) for shape in (problem.left, problem.right))
    return lay(a, left), lay(b, right)


@every_variant(matmul)
@given(
    sizes=st.tuples(st.integers(0, 70), st.integers(0, 70), st.integers(0, 70)),
    stacks=st.sampled_from(STACKS),
    left=st.sampled_from(LIES),
    right=st.sampled_from(LIES),
    dtype=st.sampled_from(["float32", "float64", "float16", "bfloat16"]),
)
def test_every_variant_is_the_product(
    operation: Any,
    variant: str,
    sizes: tuple[int, int, int],
    stacks: tuple[tuple[int, ...], tuple[int, ...]],
    left: str,
    right: str,
    dtype: str,
) -> None:
    """Or it refuses the type in words."""
    m, k, n = sizes
    problem = MatmulProblem((*stacks[0], m, k), (*stacks[1], k, n), dtype)
    if operation.variants[variant].device == "any" and dtype in ("float16", "bfloat16"):
        return  # NumPy rounds every sum to 16 bits
    arguments = factors(problem, left, right)
    assert_variant_matches_oracle(operation, variant, problem, arguments, tolerance_of(variant, dtype))


@without_compiler
@pytest.mark.parametrize(("left", "right"), [(a, b) for a in LIES[:2] for b in LIES[:2]])
@pytest.mark.parametrize(
    ("variant", "dtype", "tile"),
    [
        pytest.param(variant, dtype, tile, id=f"{variant}-{dtype}-{tile.rows}x{tile.columns}")
        for variant, dtype in [
            ("tiled", "float32"),
            ("tiled", "float64"),
            ("tensor_core", "float32"),
            ("tensor_core", "float16"),
            ("tensor_core", "bfloat16"),
        ]
        for tile in TILES
        if fits(tile, lanes_of(dtype), dtype)
    ],
)
def test_every_tile(
    monkeypatch: pytest.MonkeyPatch, variant: str, dtype: str, tile: Tile, left: str, right: str
) -> None:
    """Several tiles in each direction, the last of each not full, in every combination of along and across."""
    monkeypatch.setattr(cuda, "choose_tile", lambda *_: tile)
    problem = MatmulProblem((2, 150, 100), (100, 136), dtype)
    arguments = factors(problem, left, right)
    assert_variant_matches_oracle(matmul, variant, problem, arguments, tolerance_of(variant, dtype))


@without_compiler
@pytest.mark.parametrize(("variant", "dtype"), EACH_ONCE)
def test_every_order_of_threads_gives_the_same_bits(variant: str, dtype: str) -> None:
    problem = MatmulProblem((90, 120), (120, 80), dtype)
    arguments = [emulated(array) for array in factors(problem)]
    results = set()
    for order in (0, 1, 2, 7):
        with thread_order(order):
            results.add(np.array(matmul.variants[variant].function(problem, *arguments)).tobytes())
    assert len(results) == 1


@without_compiler
@pytest.mark.parametrize(("variant", "dtype"), EACH_ONCE)
def test_rows_may_lie_backwards(variant: str, dtype: str) -> None:
    problem = MatmulProblem((20, 16), (16, 24), dtype)
    a, b = (emulated(array) for array in factors(problem))
    function = matmul.variants[variant].function
    right = function(problem, a[::-1].copy(), b[:, ::-1].copy())
    np.testing.assert_array_equal(function(problem, a[::-1], b[:, ::-1]), right)


@without_compiler
def test_a_stack_of_more_matrices_than_one_launch_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "MOST_MATRICES", 3)
    problem = MatmulProblem((7, 5, 8), (7, 8, 6))
    assert_variant_matches_oracle(matmul, "tiled", problem, factors(problem))


@pytest.mark.parametrize(
    ("left", "right"), [((3, 4), (5, 6)), ((2, 3, 4), (3, 4, 5)), ((4,), (4, 2)), ((2, 3), (3,))]
)
def test_shapes_that_do_not_fit_are_refused(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="do not fit together") as caught:
        MatmulProblem(left, right)
    assert str(left) in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "device", "chosen"),
    [
        ("float32", "cpu", "shared"),
        ("int64", "cpu", "reference"),
        ("float32", "cuda", "tiled"),  # tf32 rounds, so nobody gets it without having asked
        ("float64", "cuda", "tiled"),
        ("bfloat16", "cuda", "tensor_core"),
        ("int32", "cuda", "reference"),
    ],
)
def test_what_is_chosen_for_each_type(dtype: str, device: str, chosen: str) -> None:
    assert matmul.select(MatmulProblem((2, 3), (3, 4), dtype), device).name == chosen


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 2])
def test_a_sum_of_no_products_is_zero(rows: int, dtype: str) -> None:
    """Also where a part of a larger product has none; the memory it goes to holds anything."""
    nothing, c = np.empty(0, dtype), np.full(rows * 3, np.nan, dtype)
    gemm(rows, 3, 0, nothing, 0, 1, False, nothing, 0, 3, False, False, c, 0, 3)
    np.testing.assert_array_equal(c, 0)
