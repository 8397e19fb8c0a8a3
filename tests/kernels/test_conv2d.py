"""Convolution: the definition is PyTorch's, and every variant of it and of its two gradients is the definition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from claims.variants import (
    LAYOUTS,
    assert_close,
    assert_variant_matches_oracle,
    every_variant,
    lay_out,
    on_device_of,
)
from minigrad.kernels import conv2d
from minigrad.kernels.conv2d import Conv2dProblem
from minigrad.kernels.cpu import frozen
from minigrad.kernels.cpu.frozen import freeze
from minigrad.kernels.cpu.jit import get_num_threads, set_num_threads
from minigrad.kernels.errors import KernelError, ShapeError
from minigrad.kernels.registry import use_kernels

# A sum of n products in float64 errs by about sqrt(n) * 1.1e-16; the drawn problems sum at most some thousands.
EXACT = 1e-12
# In float32 the same sums err by sqrt(n) * 6e-8 or less. Winograd's transforms multiply by up to 8 and then add
# terms that cancel: measured up to 2e-6 in the forward and 6e-6 in the weight gradient, in float64 1e-14; a wrong
# coefficient or index gives 1e-2 and more.
TOLERANCES = {
    ("winograd", "float32"): 3e-5,
    ("winograd", "float64"): 1e-12,
    # halves leave out 2^-18 of both factors, typically: 3.5e-6 in all; a lost half would be 2e-3
    ("matrix_tiles", "float32"): 1e-5,
    ("matrix_tile_rows", "float32"): 1e-5,
    ("other", "float32"): 5e-6,
    ("other", "float64"): EXACT,
    # tf32 keeps 11 bits of both factors of a product, so each errs by up to 2^-11 + 2^-11.
    ("implicit_gemm_tensor_core", "float32"): 2**-10,
}
every_convolution = every_variant(
    conv2d.forward, conv2d.forward_relu, conv2d.input_gradient, conv2d.weight_gradient
)
pairs = st.tuples


@st.composite
def problems(draw: st.DrawFn) -> Conv2dProblem:
    """Any convolution; often one of the shapes that have kernels of their own."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    usual = draw(st.sampled_from(["any", "3x3", "1x1", "stem"]))
    images, channels, filters = draw(st.integers(0, 3)), draw(st.integers(1, 40)), draw(st.integers(1, 70))
    size = draw(pairs(st.integers(1, 13), st.integers(1, 13)))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    if usual == "1x1":
        return Conv2dProblem(images, channels, size, filters, (1, 1), dtype=dtype)
    padding = draw(pairs(st.integers(0, 3), st.integers(0, 3)))
    if usual == "3x3":
        parameters: dict[str, Any] = {"filter_size": (3, 3)}
    elif usual == "stem":
        channels = draw(st.integers(1, 4))
        parameters = {"filter_size": (draw(st.integers(1, 7)), draw(st.integers(2, 7))), "stride": (2, 2)}
    else:
        channels, filters = channels % 5 + 1, filters % 6 + 1
        parameters = {
            "filter_size": draw(pairs(st.integers(1, 4), st.integers(1, 4))),
            "stride": draw(pairs(st.integers(1, 3), st.integers(1, 3))),
            "dilation": draw(pairs(st.integers(1, 3), st.integers(1, 3))),
            "groups": groups,
        }
        channels, filters = channels * groups, filters * groups
    extents = zip(parameters["filter_size"], parameters.get("dilation", (1, 1)), padding, strict=True)
    least = [max(1, (extent - 1) * dilation + 1 - 2 * pad) for extent, dilation, pad in extents]
    size = (max(size[0], least[0]), max(size[1], least[1]))
    return Conv2dProblem(images, channels, size, filters, padding=padding, dtype=dtype, **parameters)


def operands(problem: Conv2dProblem, seed: int, layout: str = "contiguous") -> dict[str, np.ndarray]:
    """x, weight, bias and gy; the activations in `layout`."""
    generator = np.random.default_rng(seed)
    shapes = {
        "x": problem.input_shape,
        "weight": problem.weight_shape,
        "bias": (problem.out_channels,),
        "gy": problem.output_shape,
    }
    arrays = {name: generator.standard_normal(shape).astype(problem.dtype) for name, shape in shapes.items()}
    for name in ("x", "gy"):
        arrays[name] = lay_out(arrays[name], layout)
    return arrays


def arguments_of(operation: Any, arrays: dict[str, Any], with_bias: bool = False) -> tuple[Any, ...]:
    if operation in (conv2d.forward, conv2d.forward_relu):
        return arrays["x"], arrays["weight"], arrays["bias"] if with_bias else None
    if operation is conv2d.input_gradient:
        return arrays["gy"], arrays["weight"]
    return arrays["x"], arrays["gy"]


def torch_results(problem: Conv2dProblem, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What PyTorch's autograd gives for the forward and for each gradient."""
    x, weight, bias, gy = (torch.tensor(arrays[name]) for name in ("x", "weight", "bias", "gy"))
    x.requires_grad_()
    weight.requires_grad_()
    y = torch.nn.functional.conv2d(
        x, weight, bias, problem.stride, problem.padding, problem.dilation, problem.groups
    )
    gx, gweight = torch.autograd.grad(y, [x, weight], gy)
    return {
        "conv2d_forward": y.detach().numpy(),
        "conv2d_input_gradient": gx.numpy(),
        "conv2d_weight_gradient": gweight.numpy(),
    }


@given(problem=problems(), seed=st.integers(0, 999))
def test_the_definition_is_pytorchs(problem: Conv2dProblem, seed: int) -> None:
    problem = replace(problem, dtype="float64")
    arrays = operands(problem, seed)
    expected = torch_results(problem, arrays)
    for operation in (conv2d.forward, conv2d.input_gradient, conv2d.weight_gradient):
        arguments = arguments_of(operation, arrays, with_bias=True)
        result = operation.variants["reference"].function(problem, *arguments)
        assert result.shape == expected[operation.name].shape
        assert_close(result, expected[operation.name], EXACT)


@every_convolution
@given(
    problem=problems(),
    layout=st.sampled_from(LAYOUTS),
    with_bias=st.booleans(),
    seed=st.integers(0, 999),
)
# Winograd's tiles: several blocks, a last one that is not full, images smaller than a tile, several panels
@example(Conv2dProblem(3, 33, (30, 29), 65, (3, 3), padding=(1, 1)), "channels_last", False, 0)
@example(Conv2dProblem(9, 5, (3, 2), 50, (3, 3), padding=(1, 1)), "channel_slice", True, 0)
# more steps than one in the weight gradients
@example(Conv2dProblem(2, 20, (34, 50), 24, (3, 3), padding=(1, 1)), "channels_last", False, 0)
@example(Conv2dProblem(2, 40, (13, 12), 60, (1, 1)), "channel_slice", True, 0)
# tiles across images; the network's first layer
@example(Conv2dProblem(11, 18, (4, 4), 20, (3, 3), padding=(1, 1)), "channels_last", True, 0)
@example(Conv2dProblem(1, 3, (40, 37), 64, (7, 7), (2, 2), (3, 3)), "channels_last", True, 0)
# more weights than positions: threads share out channels
@example(Conv2dProblem(2, 40, (7, 7), 140, (3, 3), padding=(1, 1)), "channels_last", True, 0)
def test_every_variant_is_the_definition(
    operation: Any, variant: str, problem: Conv2dProblem, layout: str, with_bias: bool, seed: int
) -> None:
    """Any stride, padding, dilation, groups, layout and batch, in both precisions; or it refuses in words."""
    arguments = arguments_of(operation, operands(problem, seed, layout), with_bias)
    tolerance = TOLERANCES.get((variant, problem.dtype), TOLERANCES["other", problem.dtype])
    assert_variant_matches_oracle(operation, variant, problem, arguments, tolerance)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("variant", ["direct", "winograd"])
@given(problem=problems().filter(lambda problem: problem.batch > 0), seed=st.integers(0, 999))
@example(Conv2dProblem(3, 33, (30, 29), 65, (3, 3), padding=(1, 1)), 0)
@example(Conv2dProblem(11, 18, (4, 4), 20, (3, 3), padding=(1, 1)), 0)  # tiles across images
@example(Conv2dProblem(1, 3, (40, 37), 64, (7, 7), (2, 2), (3, 3)), 0)
@example(Conv2dProblem(1, 20, (6, 5), 200, (1, 1)), 0)  # threads share out the columns
def test_statistics_are_those_of_what_was_written(
    variant: str, threads: int, problem: Conv2dProblem, seed: int
) -> None:
    """Also where channels are far from zero."""
    statistics, forward = (op.variants[variant] for op in (conv2d.forward_statistics, conv2d.forward))
    if forward.obstacle(problem, "cpu") is not None:
        return  # its words are the subject of another test
    arrays = operands(problem, seed)
    arguments = arrays["x"], arrays["weight"], 100 * arrays["bias"]
    before = get_num_threads()
    set_num_threads(min(threads, before))
    try:
        y, mean, variance = statistics.function(problem, *arguments)
        assert y.tobytes() == forward.function(problem, *arguments).tobytes()
    finally:
        set_num_threads(before)
    wide = y.astype(np.float64)
    # Sums of some thousands of float64; a variance of 1 beside a mean of 100 loses four digits in both.
    np.testing.assert_allclose(mean, wide.mean((0, 2, 3)), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(variance, wide.var((0, 2, 3)), rtol=1e-11, atol=1e-11)


@every_convolution
def test_the_number_of_images_may_be_zero(operation: Any, variant: str) -> None:
    problem = Conv2dProblem(0, 4, (6, 6), 5, (3, 3), padding=(1, 1))
    assert_variant_matches_oracle(operation, variant, problem, arguments_of(operation, operands(problem, 0)))


@pytest.mark.parametrize("operation", [conv2d.forward, conv2d.input_gradient, conv2d.weight_gradient])
def test_results_of_the_chosen_variants_lie_channels_last(operation: Any) -> None:
    problem = Conv2dProblem(2, 8, (6, 5), 8, (3, 3), padding=(1, 1))
    result = operation(problem, *arguments_of(operation, operands(problem, 0)))
    rows = result if operation is conv2d.weight_gradient else result.transpose(0, 2, 3, 1)
    assert rows.flags.c_contiguous


@pytest.mark.parametrize(
    ("variant", "problem", "reason"),
    [
        ("winograd", Conv2dProblem(1, 4, (8, 8), 4, (3, 3), stride=(2, 2)), "stride 1"),
        ("winograd", Conv2dProblem(1, 4, (8, 8), 4, (5, 5)), "3x3 filter"),
        ("winograd", Conv2dProblem(1, 4, (8, 8), 4, (3, 3), groups=2), "groups=1"),
        ("pointwise", Conv2dProblem(1, 4, (8, 8), 4, (3, 3)), "1x1 filter"),
        ("pointwise", Conv2dProblem(1, 4, (8, 8), 4, (1, 1), padding=(1, 1)), "padding 0"),
    ],
)
def test_a_forced_variant_that_cannot_run_says_why(variant: str, problem: Conv2dProblem, reason: str) -> None:
    arrays = operands(problem, 0)
    with use_kernels(conv2d=variant), pytest.raises(KernelError, match=reason):
        conv2d.forward(problem, arrays["x"], arrays["weight"], None)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"filter_size": (9, 3)}, r"\(9, 3\).*does not fit.*\(8, 8\)"),
        ({"filter_size": (3, 3), "groups": 3}, "groups=3 must divide the 4 input channels"),
        ({"filter_size": (3, 3), "stride": (0, 1)}, r"stride must be at least 1, got \(0, 1\)"),
        ({"filter_size": (3, 3), "padding": (-1, 0)}, r"padding must be at least 0, got \(-1, 0\)"),
    ],
)
def test_a_problem_without_meaning_is_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Conv2dProblem(1, 4, (8, 8), 4, **parameters)


@pytest.mark.parametrize("variant", [v.name for v in conv2d.forward.variants.values() if v.device == "cpu"])
def test_a_compiled_variant_refuses_other_dtypes_with_the_reason(variant: str) -> None:
    problem = Conv2dProblem(1, 2, (4, 4), 3, (1, 1) if variant == "pointwise" else (3, 3), dtype="float16")
    x, weight = np.ones(problem.input_shape, np.float16), np.ones(problem.weight_shape, np.float16)
    with (
        use_kernels(conv2d_forward=variant),
        pytest.raises(KernelError, match=r"float32( and float64)?, not float16"),
    ):
        conv2d.forward(problem, x, weight, None)
    assert conv2d.forward(problem, x, weight, None).dtype == np.float16


@pytest.mark.parametrize("variant", ["direct", "winograd"])
@pytest.mark.parametrize("operation", [conv2d.forward, conv2d.forward_relu])
def test_a_frozen_filter_is_packed_once_and_gives_the_same_bits(operation: Any, variant: str) -> None:
    problem = Conv2dProblem(2, 8, (12, 11), 24, (3, 3), padding=(1, 1))
    arrays = operands(problem, 0)
    function = operation.variants[variant].function
    expected = function(problem, arrays["x"], arrays["weight"], arrays["bias"])
    weight = freeze(arrays["weight"].copy())
    first = function(problem, arrays["x"], weight, arrays["bias"])
    (packed,) = frozen._forms[id(weight)].values()
    packed *= 2  # the second call reads what the first one kept
    second = function(problem, arrays["x"], weight, 2 * arrays["bias"])
    assert np.array_equal(first, expected)
    assert np.array_equal(second, 2 * expected)
    with pytest.raises(ValueError, match="read-only"):
        weight[...] = 0


def test_what_kernels_keep_of_a_frozen_filter_goes_with_it() -> None:
    weight = freeze(np.ones((4, 4, 3, 3), np.float32))
    key = id(weight)
    assert key in frozen._forms
    del weight
    assert key not in frozen._forms


@pytest.mark.parametrize("operation", [conv2d.forward, conv2d.forward_relu], ids=lambda operation: operation.name)
@pytest.mark.parametrize(
    ("variant", "problem"),
    [
        ("direct", Conv2dProblem(2, 16, (6, 5), 24, (3, 3), padding=(1, 1))),
        ("direct", Conv2dProblem(2, 3, (9, 8), 21, (7, 7), (2, 2), (3, 3), dtype="float64")),
        ("direct", Conv2dProblem(1, 20, (6, 5), 200, (1, 1))),  # threads share out the columns
        ("direct", Conv2dProblem(2, 6, (6, 5), 9, (3, 3), groups=3)),
        ("winograd", Conv2dProblem(2, 18, (9, 6), 21, (3, 3), padding=(1, 1))),
        ("matrix_tiles", Conv2dProblem(2, 16, (6, 5), 40, (3, 3), padding=(1, 1))),
    ],
)
def test_a_result_may_go_into_a_slice_of_channels(operation: Any, variant: str, problem: Conv2dProblem) -> None:
    """It is the same bits, and what lies beside it stays as it was."""
    chosen = operation.variants[variant]
    if reason := chosen.unavailable():
        pytest.skip(reason)
    arrays = arguments_of(operation, operands(problem, 0, "channels_last"), True)
    n, k, p, q = problem.output_shape
    whole = np.full((n, p, q, k + 8), 7, problem.dtype)
    out = whole[..., 3 : 3 + k].transpose(0, 3, 1, 2)
    assert chosen.function(problem, *arrays, out=out) is out
    np.testing.assert_array_equal(out, chosen.function(problem, *arrays))
    assert (whole[..., :3] == 7).all()
    assert (whole[..., 3 + k :] == 7).all()


@pytest.mark.parametrize("variant", ["direct", "winograd"])
@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((2, 4, 6, 5), np.float32), r"out must be float32 of shape \(2, 5, 6, 5\) on cpu, got float32"),
        (np.zeros((2, 5, 6, 5)), "out must be float32 of .* got float64"),
        (np.zeros((2, 5, 6, 5), np.float32), "out must lie channels-last"),
    ],
)
def test_a_place_for_the_result_that_does_not_fit(variant: str, out: np.ndarray, message: str) -> None:
    problem = Conv2dProblem(2, 4, (6, 5), 5, (3, 3), padding=(1, 1))
    arrays = arguments_of(conv2d.forward, operands(problem, 0))
    with pytest.raises(ShapeError, match=message):
        conv2d.forward.variants[variant].function(problem, *arrays, out=out)


@every_variant(conv2d.forward_relu)
def test_not_a_number_survives_relu(operation: Any, variant: str) -> None:
    problem = Conv2dProblem(1, 4, (9, 9), 8, (3, 3), padding=(1, 1))
    x, weight = operands(problem, 0)["x"], np.ones(problem.weight_shape, np.float32)
    x[0, :, 4, 4] = np.nan
    y = operation.variants[variant].function(problem, *on_device_of(operation, variant, (x, weight)), None)
    assert np.isnan(y[0, :, 3:6, 3:6]).all()
    assert (y[0, :, 0, 8] >= 0).all()
