"""The affine map beside PyTorch's, and that every function here has an oracle."""

from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn.functional as F
from claims.ops import assert_error, assert_same_as_torch, drawn, layouts, seeds


@given(
    outer=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 5),
    bias=st.booleans(),
    layout=layouts,
    seed=seeds,
)
def test_linear(outer, inputs, outputs, bias, layout, seed):
    arrays = [drawn((*outer, inputs), seed), drawn((outputs, inputs), seed + 1)]
    if bias:
        arrays.append(drawn((outputs,), seed + 2))
    assert_same_as_torch(F.linear, torch.nn.functional.linear, *arrays, layout=layout)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_activation(name):
    assert_same_as_torch(getattr(F, name), getattr(torch, name), drawn((3, 4)))


def test_every_function_is_compared_with_pytorch():
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    missing = [
        name
        for name in F.__all__
        if f"F.{name}(" not in source and f'"{name}"' not in source and f"F.{name}," not in source
    ]
    assert missing == []


X, W = mg.zeros((2, 3)), mg.zeros((4, 3))
ERRORS = {
    "shapes": (lambda: F.linear(X, mg.zeros((4, 2))), mg.ShapeError, ["linear", "(2, 3)", "(4, 2)"]),
    "number": (lambda: F.linear(mg.tensor(1.0), W), mg.ShapeError, ["linear", "()", "(4, 3)"]),
    "bias": (lambda: F.linear(X, W, mg.zeros(3)), mg.ShapeError, ["linear", "bias (3,)", "(4, 3)"]),
    "dtypes": (
        lambda: F.linear(X.astype("float64"), W),
        mg.DTypeError,
        ["linear", "input float64", "weight float32"],
    ),
    "array": (lambda: F.linear(np.zeros((2, 3)), W), mg.DTypeError, ["linear", "input", "ndarray"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)
