"""Resizing beside PyTorch's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn.functional as F
from claims.ops import assert_error, assert_same_as_torch, drawn, layouts, seeds

images = st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
modes = st.sampled_from([("nearest", None), ("bilinear", False), ("bilinear", True)])


def resize(function, mode, **options):
    name, align = mode
    return lambda x: function(x, mode=name, **({} if align is None else {"align_corners": align}), **options)


@given(
    shape=images,
    size=st.integers(1, 9) | st.tuples(st.integers(1, 9), st.integers(1, 9)),
    mode=modes,
    layout=layouts,
    seed=seeds,
)
def test_interpolate_to_a_size(shape, size, mode, layout, seed):
    ours, theirs = resize(F.interpolate, mode, size=size), resize(torch.nn.functional.interpolate, mode, size=size)
    assert_same_as_torch(ours, theirs, drawn(shape, seed), layout=layout)


factors = st.sampled_from([1.0, 1.5, 2.0, 2.3, 3.0])


@given(shape=images, factor=factors | st.tuples(factors, factors), mode=modes, layout=layouts, seed=seeds)
def test_interpolate_by_a_factor(shape, factor, mode, layout, seed):
    ours = resize(F.interpolate, mode, scale_factor=factor)
    theirs = resize(torch.nn.functional.interpolate, mode, scale_factor=factor)
    assert_same_as_torch(ours, theirs, drawn(shape, seed), layout=layout)


@pytest.mark.parametrize("factor", [0.5, 0.4, (0.5, 2.0)])
@pytest.mark.parametrize("mode", [("nearest", None), ("bilinear", False), ("bilinear", True)])
def test_interpolate_to_fewer_pixels(factor, mode):
    ours = resize(F.interpolate, mode, scale_factor=factor)
    theirs = resize(torch.nn.functional.interpolate, mode, scale_factor=factor)
    assert_same_as_torch(ours, theirs, drawn((2, 3, 7, 6)))


def test_digits_upsampled_to_64_pixels():
    for mode in (("nearest", None), ("bilinear", False)):
        ours, theirs = resize(F.interpolate, mode, size=64), resize(torch.nn.functional.interpolate, mode, size=64)
        assert_same_as_torch(ours, theirs, drawn((2, 1, 8, 8)))


@pytest.mark.parametrize("factor", [1.2, 2.3])
def test_factor_that_rounds_to_one_or_two(factor):
    ours = resize(F.interpolate, ("nearest", None), scale_factor=factor)
    theirs = resize(torch.nn.functional.interpolate, ("nearest", None), scale_factor=factor)
    assert_same_as_torch(ours, theirs, drawn((1, 1, 2, 3)))


@pytest.mark.parametrize("n", range(1, 25))
def test_nearest_pixel_is_pytorchs_for_every_size(n):
    x = drawn((1, 1, 1, n))
    for m in range(1, 50):
        ours = F.interpolate(mg.tensor(x, "float32"), (1, m)).tolist()
        assert ours == torch.nn.functional.interpolate(torch.from_numpy(x).float(), (1, m)).tolist(), (n, m)


X = mg.zeros((1, 2, 4, 4))
ERRORS = {
    "neither": (lambda: F.interpolate(X), mg.ShapeError, ["interpolate", "size=None", "scale_factor=None"]),
    "both": (lambda: F.interpolate(X, 2, 2.0), mg.ShapeError, ["interpolate", "size=2", "scale_factor=2.0"]),
    "mode": (lambda: F.interpolate(X, 2, mode="cubic"), mg.MinigradError, ["interpolate", "'cubic'", "bilinear"]),
    "corners": (lambda: F.interpolate(X, 2, align_corners=True), mg.MinigradError, ["align_corners", "bilinear"]),
    "size": (lambda: F.interpolate(X, 0), mg.ShapeError, ["interpolate", "(1, 2, 4, 4)", "(0, 0)"]),
    "sizes": (lambda: F.interpolate(X, (1, 2, 3)), mg.ShapeError, ["interpolate: size", "(1, 2, 3)"]),
    "factor": (lambda: F.interpolate(X, scale_factor=-1.0), mg.ShapeError, ["scale_factor", "-1.0"]),
    "small factor": (lambda: F.interpolate(X, scale_factor=0.1), mg.ShapeError, ["(1, 2, 4, 4)", "(0, 0)"]),
    "endless factor": (
        lambda: F.interpolate(X, scale_factor=float("inf")),
        mg.ShapeError,
        ["scale_factor", "inf"],
    ),
    "factors": (lambda: F.interpolate(X, scale_factor=(1.0,)), mg.ShapeError, ["scale_factor", "(1.0,)"]),
    "axes": (lambda: F.interpolate(mg.zeros((2, 4, 4)), 2), mg.ShapeError, ["(N, C, H, W)", "(2, 4, 4)"]),
    "integers": (lambda: F.interpolate(X.astype("uint8"), 2), mg.DTypeError, ["interpolate", "uint8"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)
