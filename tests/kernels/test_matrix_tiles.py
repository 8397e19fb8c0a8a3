"""Products of float32 by halves: what the split keeps, and what is done where a processor or a number has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims.variants import assert_close
from minigrad.kernels import conv2d
from minigrad.kernels.conv2d import Conv2dProblem, cpu_matrix_tiles
from minigrad.kernels.cpu import matrix_tiles, two_bfloat16
from minigrad.kernels.cpu.frozen import freeze
from minigrad.kernels.cpu.jit import jit
from minigrad.kernels.errors import KernelError
from minigrad.kernels.registry import use_kernels

with_matrix_instructions = pytest.mark.skipif(
    matrix_tiles.obstacle() is not None, reason=str(matrix_tiles.obstacle())
)
PROBLEM = Conv2dProblem(2, 40, (6, 5), 36, (3, 3), padding=(1, 1))


@jit
def _split(numbers, high, low):  # type: ignore[no-untyped-def]
    return two_bfloat16.split(numbers.ctypes.data, numbers.size, high.ctypes.data, low.ctypes.data)


@jit
def _split_transposed(rows, lanes, high, low):  # type: ignore[no-untyped-def]
    return two_bfloat16.split_transposed(
        rows.ctypes.data, 0, lanes, high.ctypes.data, low.ctypes.data, high.shape[1] * 2
    )


def number(halves: np.ndarray) -> np.ndarray:
    """bfloat16 are the upper halves of float32."""
    return (halves.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def random_operands(scale: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x, weight, gy = (
        (scale * generator.standard_normal(shape)).astype(np.float32)
        for shape in (PROBLEM.input_shape, PROBLEM.weight_shape, PROBLEM.output_shape)
    )
    return x, weight, gy


# Below 2^-100 the lower half can be smaller than the smallest normal number, which the instructions take for zero.
normal = st.floats(2.0**-100, 2.0**127, width=32) | st.just(0.0)


@given(st.lists(normal, min_size=1, max_size=16), st.sampled_from([1, -1]))
def test_two_halves_keep_sixteen_bits_of_a_number(values: list[float], sign: int) -> None:
    numbers = np.array(values, np.float32) * np.float32(sign)
    high, low = np.full(16, 7, np.uint16), np.full(16, 7, np.uint16)
    assert _split(numbers, high, low) == 0
    rest = np.abs(number(high) + number(low) - np.pad(numbers, (0, 16 - numbers.size)))
    assert (rest[: numbers.size] <= 2.0**-16 * np.abs(numbers)).all()
    assert not high[numbers.size :].any()
    assert not low[numbers.size :].any()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, np.finfo(np.float32).max])
def test_a_number_without_halves_is_reported(value: float) -> None:
    numbers = np.ones(16, np.float32)
    numbers[11] = value
    assert _split(numbers, np.empty(16, np.uint16), np.empty(16, np.uint16)) != 0


def test_a_transposed_split_turns_columns_into_rows() -> None:
    numbers = np.random.default_rng(0).standard_normal((16, 13)).astype(np.float32)
    rows = numbers.ctypes.data + 4 * 13 * np.arange(16, dtype=np.int64)
    rows[5] = 0  # no row there
    high, low = np.full((16, 40), 7, np.uint16), np.full((16, 40), 7, np.uint16)
    assert _split_transposed(rows, 13, high, low) == 0
    expected = numbers.T.copy()
    expected[:, 5] = 0
    np.testing.assert_allclose((number(high) + number(low))[:13, :16], expected, rtol=2.0**-16)
    assert not high[13:, :16].any()
    assert (high[:, 16:] == 7).all()


@with_matrix_instructions
@pytest.mark.parametrize("value", [np.inf, np.nan, np.finfo(np.float32).max])
@pytest.mark.parametrize("operand", [0, 1, 2])
def test_what_has_no_halves_is_computed_directly(operand: int, value: float) -> None:
    operands = random_operands()
    operands[operand].reshape(-1)[77] = value
    x, weight, gy = operands
    for operation, arguments in (
        (conv2d.forward, (x, weight, None)),
        (conv2d.forward_relu, (x, weight, None)),
        (conv2d.input_gradient, (gy, weight)),
        (conv2d.weight_gradient, (x, gy)),
    ):
        by_tiles, directly = (
            operation.variants[name].function(PROBLEM, *arguments) for name in ("matrix_tiles", "direct")
        )
        if any(operands[operand] is argument for argument in arguments):
            assert by_tiles.tobytes() == directly.tobytes()
        else:
            assert np.isfinite(by_tiles).all()


@with_matrix_instructions
@pytest.mark.parametrize("operand", ["x", "gy"])
def test_a_first_layer_that_is_not_finite_is_computed_directly(operand: str) -> None:
    problem = Conv2dProblem(2, 3, (13, 20), 17, (7, 7), stride=(2, 2), padding=(3, 3))
    generator = np.random.default_rng(0)
    arrays = {
        "x": generator.standard_normal(problem.input_shape).astype(np.float32),
        "gy": generator.standard_normal(problem.output_shape).astype(np.float32),
    }
    arrays[operand].reshape(-1)[-1] = np.inf
    variants = conv2d.weight_gradient.variants
    by_rows, directly = (variants[v].function(problem, *arrays.values()) for v in ("matrix_tile_rows", "direct"))
    assert not np.isfinite(directly).all()
    assert by_rows.tobytes() == directly.tobytes()


@with_matrix_instructions
def test_weight_gradients_use_the_instructions_and_what_travels_on_keeps_float32() -> None:
    """A small error grows on its way through the layers; one in a weight's gradient goes nowhere."""
    for operation, name in (
        (conv2d.forward, "direct"),
        (conv2d.forward_relu, "direct"),
        (conv2d.input_gradient, "direct"),
        (conv2d.weight_gradient, "matrix_tiles"),
    ):
        assert operation.select(PROBLEM, "cpu").name == name


@with_matrix_instructions
@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_products_by_halves_hold_their_accuracy_far_from_one(scale: float) -> None:
    x, weight, _ = random_operands(scale)
    y = conv2d.forward.variants["matrix_tiles"].function(PROBLEM, x, weight, None)
    exact = conv2d.reference.forward(
        replace(PROBLEM, dtype="float64"), x.astype(np.float64), weight.astype(np.float64), None
    )
    assert_close(y, exact, 1e-5)


@with_matrix_instructions
@pytest.mark.parametrize("name", ["forward_matrix_tiles", "forward_relu_matrix_tiles"])
def test_a_frozen_filter_is_split_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, _ = random_operands()
    function = getattr(cpu_matrix_tiles, name)
    expected = function(PROBLEM, x, weight, None)
    freeze(weight)
    assert np.array_equal(function(PROBLEM, x, weight, None), expected)
    monkeypatch.setattr(cpu_matrix_tiles, "packed_panels", None)
    assert np.array_equal(function(PROBLEM, x, weight, None), expected)


def test_a_processor_without_the_instructions_is_a_reason_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, _ = random_operands()
    without = replace(
        conv2d.forward.variants["matrix_tiles"], unavailable=lambda: "the processor has no matrix instructions"
    )
    monkeypatch.setitem(conv2d.forward.variants, "matrix_tiles", without)
    problem = Conv2dProblem(2, 40, (6, 5), 36, (3, 3), padding=(1, 0))  # no earlier choice is remembered for it
    with (
        use_kernels(conv2d_forward="matrix_tiles"),
        pytest.raises(KernelError, match="no matrix instructions"),
    ):
        conv2d.forward(problem, x, weight, None)
    assert conv2d.forward(problem, x, weight, None).shape == problem.output_shape


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (Conv2dProblem(1, 4, (8, 8), 4, (3, 3), stride=(2, 2)), "stride 1"),
        (Conv2dProblem(1, 4, (8, 8), 4, (3, 3), dilation=(1, 2)), "dilation 1"),
        (Conv2dProblem(1, 4, (8, 8), 4, (3, 3), groups=2), "groups=1"),
        (Conv2dProblem(1, 4, (8, 8), 4, (1, 3), padding=(1, 1)), "padding smaller than the filter"),
        (Conv2dProblem(1, 4, (8, 8), 4, (3, 3), dtype="float64"), "float32, not float64"),
    ],
)
def test_problems_that_are_no_product_of_halves_are_refused_in_words(problem: Conv2dProblem, reason: str) -> None:
    assert reason in str(cpu_matrix_tiles.refuses(problem))
