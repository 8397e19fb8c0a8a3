"""Convolution and transposed convolution beside PyTorch's."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn.functional as F
from claims.ops import assert_error, assert_same_as_torch, drawn, layouts


@dataclass
class Case:
    """Shapes of the arrays and the options of one convolution."""

    shapes: list[tuple[int, ...]]
    options: dict[str, Any]

    def arrays(self):
        return [drawn(shape, i, -1, 1) for i, shape in enumerate(self.shapes)]


def pairs(low, high):
    return st.integers(low, high) | st.tuples(st.integers(low, high), st.integers(low, high))


def both(value):
    return value if isinstance(value, tuple) else (value, value)


@st.composite
def convolutions(draw, transposed=False):
    """Batches of 0 to 2 images or a single image, filters with and without bias, groups, strides, dilations."""
    groups, batch = draw(st.integers(1, 3)), draw(st.sampled_from([None, 0, 1, 2]))
    inputs, outputs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    options = {
        "stride": draw(pairs(1, 3)),
        "padding": draw(pairs(0, 2)),
        "dilation": draw(pairs(1, 2)),
        "groups": groups,
    }
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    size = []
    for k, p, d in zip(kernel, both(options["padding"]), both(options["dilation"]), strict=True):
        extent = d * (k - 1) + 1
        # A transposed convolution must leave an output, a plain one must find the filter inside of the image.
        low = 1 + -(-max(0, 2 * p + 1 - extent) // 1) if transposed else max(1, extent - 2 * p)
        size.append(draw(st.integers(low, low + 5)))
    if transposed:
        limit = [max(s, d) - 1 for s, d in zip(both(options["stride"]), both(options["dilation"]), strict=True)]
        options["output_padding"] = tuple(draw(st.integers(0, n)) for n in limit)
    filters = (inputs, outputs // groups, *kernel) if transposed else (outputs, inputs // groups, *kernel)
    shapes = [(inputs, *size) if batch is None else (batch, inputs, *size), filters]
    if draw(st.booleans()):
        shapes.append((outputs,))
    return Case(shapes, options)


@given(case=convolutions(), layout=layouts)
def test_conv2d(case, layout):
    assert_same_as_torch(
        lambda *arrays: F.conv2d(*arrays, **case.options),
        lambda *arrays: torch.nn.functional.conv2d(*arrays, **case.options),
        *case.arrays(),
        layout=layout,
    )


@given(case=convolutions(transposed=True), layout=layouts)
def test_conv_transpose2d(case, layout):
    assert_same_as_torch(
        lambda *arrays: F.conv_transpose2d(*arrays, **case.options),
        lambda *arrays: torch.nn.functional.conv_transpose2d(*arrays, **case.options),
        *case.arrays(),
        layout=layout,
    )


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_output_padding_beyond_the_stride_uncovers_what_padding_cut_off(padding):
    options = {"stride": 1, "dilation": 3, "padding": padding, "output_padding": (2, 1)}
    assert_same_as_torch(
        lambda x, w: F.conv_transpose2d(x, w, **options),
        lambda x, w: torch.nn.functional.conv_transpose2d(x, w, **options),
        drawn((1, 1, 5, 5), 0),
        drawn((1, 1, 2, 2), 1),
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 5)])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")  # PyTorch copies, for even filters
def test_padding_by_name(padding, kernel, dilation):
    assert_same_as_torch(
        lambda x, w: F.conv2d(x, w, padding=padding, dilation=dilation),
        lambda x, w: torch.nn.functional.conv2d(x, w, padding=padding, dilation=dilation),
        drawn((2, 2, 9, 10), 0),
        drawn((3, 2, *kernel), 1),
    )


# The layers of GoogLeNet, with few channels: 7x7 with stride 2, 1x1, 3x3 and 5x5.
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(7, 2, 3), (1, 1, 0), (3, 1, 1), (5, 1, 2)])
@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
def test_layers_of_googlenet(kernel, stride, padding, layout):
    assert_same_as_torch(
        lambda x, w, b: F.conv2d(x, w, b, stride, padding),
        lambda x, w, b: torch.nn.functional.conv2d(x, w, b, stride, padding),
        drawn((2, 8, 14, 14), 0, -1, 1),
        drawn((16, 8, kernel, kernel), 1, -1, 1),
        drawn((16,), 2),
        layout=layout,
    )


def test_only_the_gradients_asked_for_are_computed():
    x, w, b = mg.ones((1, 2, 4, 4)), mg.ones((3, 2, 3, 3), requires_grad=True), mg.ones(3)
    F.conv2d(x, w, b).sum().backward()
    assert x.grad is None
    assert b.grad is None
    assert w.grad.shape == w.shape


X, W = mg.zeros((2, 4, 5, 6)), mg.zeros((8, 4, 3, 3))
ERRORS = {
    "channels": (
        lambda: F.conv2d(X, mg.zeros((8, 3, 3, 3))),
        mg.ShapeError,
        ["conv2d", "4 channels", "(8, 3, 3, 3)"],
    ),
    "groups": (
        lambda: F.conv2d(X, mg.zeros((3, 2, 3, 3)), groups=2),
        mg.ShapeError,
        ["groups=2", "3 output channels"],
    ),
    "no groups": (lambda: F.conv2d(X, W, groups=0), mg.ShapeError, ["conv2d", "groups", "0"]),
    "half a group": (lambda: F.conv2d(X, W, groups=0.5), mg.ShapeError, ["conv2d", "groups", "0.5"]),
    "transposed groups": (
        lambda: F.conv_transpose2d(X, W, groups=None),
        mg.ShapeError,
        ["conv_transpose2d", "groups", "None"],
    ),
    "no weight": (lambda: F.conv2d(X, None), mg.DTypeError, ["conv2d", "weight", "NoneType"]),
    "no input": (lambda: F.conv2d(None, W), mg.DTypeError, ["conv2d", "input", "NoneType"]),
    "no stride": (lambda: F.conv2d(X, W, stride=None), mg.ShapeError, ["conv2d", "stride", "None"]),
    "axes": (lambda: F.conv2d(mg.zeros((4, 5)), W), mg.ShapeError, ["conv2d", "(N, C, H, W)", "(4, 5)"]),
    "weight axes": (lambda: F.conv2d(X, mg.zeros((8, 4))), mg.ShapeError, ["conv2d", "weight", "(8, 4)"]),
    "bias": (lambda: F.conv2d(X, W, mg.zeros(4)), mg.ShapeError, ["conv2d", "bias (4,)", "(8, 4, 3, 3)"]),
    "too large": (lambda: F.conv2d(X, mg.zeros((8, 4, 7, 7))), mg.ShapeError, ["conv2d", "(7, 7)", "(5, 6)"]),
    "stride": (lambda: F.conv2d(X, W, stride=0), mg.ShapeError, ["conv2d", "stride", "(0, 0)"]),
    "stride of three": (lambda: F.conv2d(X, W, stride=(1, 1, 1)), mg.ShapeError, ["conv2d: stride", "(1, 1, 1)"]),
    "stride float": (lambda: F.conv2d(X, W, stride=1.5), mg.ShapeError, ["conv2d: stride", "1.5"]),
    "padding": (lambda: F.conv2d(X, W, padding=-1), mg.ShapeError, ["conv2d", "padding", "(-1, -1)"]),
    "padding by name": (lambda: F.conv2d(X, W, padding="full"), mg.ShapeError, ["conv2d", "'full'", "same"]),
    "same with stride": (
        lambda: F.conv2d(X, W, padding="same", stride=2),
        mg.ShapeError,
        ["same", "stride (2, 2)"],
    ),
    "integers": (
        lambda: F.conv2d(X.astype("int64"), W.astype("int64")),
        mg.DTypeError,
        ["conv2d", "real numbers", "int64"],
    ),
    "dtypes": (lambda: F.conv2d(X.astype("float64"), W), mg.DTypeError, ["conv2d", "float64", "weight float32"]),
    "array": (lambda: F.conv2d(X.numpy(), W), mg.DTypeError, ["conv2d", "input", "ndarray", "mg.tensor"]),
    "list": (lambda: F.conv2d(X, [1.0]), mg.DTypeError, ["conv2d", "weight", "list"]),
    "transposed channels": (
        lambda: F.conv_transpose2d(X, W),
        mg.ShapeError,
        ["conv_transpose2d", "4 channels", "expects 8"],
    ),
    "output_padding": (
        lambda: F.conv_transpose2d(X, mg.zeros((4, 2, 3, 3)), output_padding=1),
        mg.ShapeError,
        ["conv_transpose2d", "output_padding (1, 1)", "stride (1, 1)"],
    ),
    "transposed stride": (
        lambda: F.conv_transpose2d(X, mg.zeros((4, 2, 3, 3)), stride=0),
        mg.ShapeError,
        ["conv_transpose2d", "stride", "(0, 0)"],
    ),
    "no output": (
        lambda: F.conv_transpose2d(X, mg.zeros((4, 2, 1, 1)), padding=3),
        mg.ShapeError,
        ["conv_transpose2d", "no output", "(3, 3)"],
    ),
    "transposed bias": (
        lambda: F.conv_transpose2d(X, mg.zeros((4, 2, 3, 3)), mg.zeros(4)),
        mg.ShapeError,
        ["conv_transpose2d", "bias (4,)"],
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)
