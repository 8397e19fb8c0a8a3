"""Pooling beside PyTorch's."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn.functional as F
from claims.ops import assert_error, assert_same_as_torch, drawn, layouts, seeds
from claims.variants import operations_of


def pairs(low, high):
    return st.integers(low, high) | st.tuples(st.integers(low, high), st.integers(low, high))


def both(value):
    return value if isinstance(value, tuple) else (value, value)


@st.composite
def windows(draw, dilated):
    """The shape of a batch or of one image, and the options of a pooling that fits into it."""
    options = {
        "kernel_size": draw(pairs(1, 4)),
        "stride": draw(st.none() | pairs(1, 4)),
        "ceil_mode": draw(st.booleans()),
    }
    if dilated:
        options["dilation"] = draw(pairs(1, 2))
    kernel = both(options["kernel_size"])
    options["padding"] = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = []
    for k, p, d in zip(kernel, options["padding"], both(options.get("dilation", 1)), strict=True):
        low = max(1, d * (k - 1) + 1 - 2 * p)
        size.append(draw(st.integers(low, low + 5)))
    batch = draw(st.sampled_from([None, 0, 1, 2]))
    shape = (draw(st.integers(1, 3)), *size)
    return (shape if batch is None else (batch, *shape)), options


@given(case=windows(dilated=True), layout=layouts, seed=seeds)
def test_max_pool2d(case, layout, seed):
    shape, options = case
    # With dilation and ceil_mode a window may meet nothing but padding. Its maximum is minus infinity, and PyTorch
    # writes its gradient outside of the image, which has been seen to abort the process.
    values = torch.nn.functional.max_pool2d(torch.from_numpy(drawn(shape, seed)), **options)
    assume(bool(torch.isfinite(values).all()))
    assert_same_as_torch(
        lambda x: F.max_pool2d(x, **options),
        lambda x: torch.nn.functional.max_pool2d(x, **options),
        drawn(shape, seed),
        layout=layout,
    )


@given(
    case=windows(dilated=False),
    count=st.booleans(),
    divisor=st.none() | st.integers(1, 5),
    layout=layouts,
    seed=seeds,
)
def test_avg_pool2d(case, count, divisor, layout, seed):
    shape, options = case
    options |= {"count_include_pad": count, "divisor_override": divisor}
    assert_same_as_torch(
        lambda x: F.avg_pool2d(x, **options),
        lambda x: torch.nn.functional.avg_pool2d(x, **options),
        drawn(shape, seed),
        layout=layout,
    )


@given(
    shape=st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)),
    single=st.booleans(),
    size=st.integers(1, 8) | st.tuples(st.none() | st.integers(1, 8), st.none() | st.integers(1, 8)),
    layout=layouts,
    seed=seeds,
)
def test_adaptive_avg_pool2d(shape, single, size, layout, seed):
    assert_same_as_torch(
        lambda x: F.adaptive_avg_pool2d(x, size),
        lambda x: torch.nn.functional.adaptive_avg_pool2d(x, size),
        drawn(shape[1:] if single else shape, seed),
        layout=layout,
    )


# Every pooling of GoogLeNet: between blocks with stride 2, inside of a block with stride 1, both with ceil_mode.
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 0), (3, 1, 1), (2, 2, 0)])
def test_pools_of_googlenet(kernel, stride, padding):
    assert_same_as_torch(
        lambda x: F.max_pool2d(x, kernel, stride, padding, ceil_mode=True),
        lambda x: torch.nn.functional.max_pool2d(x, kernel, stride, padding, ceil_mode=True),
        drawn((2, 8, 14, 15)),
        layout="channels last",
    )


def test_the_first_of_equal_elements_gets_the_gradient():
    x = np.array([[[[1.0, 2.0, 2.0], [2.0, 2.0, 0.0], [0.0, 2.0, 2.0]]]])
    for stride in (1, 2):
        assert_same_as_torch(
            lambda x, s=stride: F.max_pool2d(x, 2, s),
            lambda x, s=stride: torch.nn.functional.max_pool2d(x, 2, s),
            x,
        )


def test_padding_of_max_pooling_is_below_every_number():
    assert_same_as_torch(
        lambda x: F.max_pool2d(x, 3, 2, 1),
        lambda x: torch.nn.functional.max_pool2d(x, 3, 2, 1),
        drawn((1, 1, 5, 5), 0, -9, -8),
    )


def test_a_window_of_padding_alone_has_no_maximum_and_no_gradient():
    x = mg.ones((1, 1, 2, 2), requires_grad=True)
    y = F.max_pool2d(x, 2, dilation=3, padding=1)  # its taps are rows and columns -1 and 2
    y.backward(mg.ones(y.shape))
    assert y.tolist() == [[[[-np.inf]]]]
    assert x.grad.tolist() == [[[[0.0, 0.0], [0.0, 0.0]]]]


def test_not_a_number_is_the_largest():
    x = mg.tensor([[[[1.0, np.nan], [3.0, 2.0]]]])
    assert np.isnan(F.max_pool2d(x, 2).item())


@pytest.fixture
def asked(monkeypatch):
    """The pooling operations that kernels are asked for, in order."""
    names = []
    for operation in operations_of("pool2d"):

        def noted(problem, device, select=operation.select, name=operation.name):
            names.append(name)
            return select(problem, device)

        monkeypatch.setattr(operation, "select", noted)
    return names


def test_the_places_of_the_maxima_are_looked_for_under_the_tape_alone(asked):
    x = mg.tensor(drawn((2, 3, 7, 6)), requires_grad=True)
    recorded = F.max_pool2d(x, 3, 2, 1)
    assert asked == ["max_pool2d_forward"]
    with mg.no_grad():
        alone = F.max_pool2d(x, 3, 2, 1)
    constant = F.max_pool2d(x.detach(), 3, 2, 1)
    assert asked[1:] == ["max_pool2d_values", "max_pool2d_values"]
    for y in (alone, constant):
        assert not y.requires_grad
        np.testing.assert_array_equal(y.numpy(), recorded.detach().numpy())


@pytest.mark.parametrize(
    ("choice", "runs"),
    [
        ({"max_pool2d_forward": "reference"}, "max_pool2d_forward"),
        ({"max_pool2d_values": "reference"}, "max_pool2d_values"),
        ({"pool2d": "reference"}, "max_pool2d_values"),
        ({"pool2d": "auto"}, "max_pool2d_values"),
    ],
)
def test_a_kernel_of_max_pooling_that_was_asked_for_runs_without_the_tape_too(asked, choice, runs):
    with mg.use_kernels(**choice):
        F.max_pool2d(mg.tensor(drawn((2, 3, 7, 6))), 3, 2, 1)
    assert asked == [runs]


X = mg.zeros((2, 3, 5, 6))
ERRORS = {
    "axes": (lambda: F.max_pool2d(mg.zeros((5, 6)), 2), mg.ShapeError, ["max_pool2d", "(5, 6)"]),
    "integers": (lambda: F.max_pool2d(mg.arange(16).reshape(1, 4, 4), 2), mg.DTypeError, ["max_pool2d", "int64"]),
    "array": (lambda: F.avg_pool2d(X.numpy(), 2), mg.DTypeError, ["avg_pool2d", "ndarray"]),
    "kernel": (lambda: F.max_pool2d(X, 0), mg.ShapeError, ["kernel_size", "(0, 0)"]),
    "kernel of three": (
        lambda: F.avg_pool2d(X, (1, 2, 3)),
        mg.ShapeError,
        ["avg_pool2d: kernel_size", "(1, 2, 3)"],
    ),
    "stride": (lambda: F.max_pool2d(X, 2, -1), mg.ShapeError, ["stride", "(-1, -1)"]),
    "padding": (lambda: F.max_pool2d(X, 2, padding=2), mg.ShapeError, ["padding (2, 2)", "kernel_size (2, 2)"]),
    "too large": (lambda: F.avg_pool2d(X, 7), mg.ShapeError, ["(7, 7)", "(5, 6)"]),
    "divisor": (lambda: F.avg_pool2d(X, 2, divisor_override=0), mg.ShapeError, ["divisor_override", "zero"]),
    "ceil_mode": (lambda: F.max_pool2d(X, 2, ceil_mode=[]), mg.MinigradError, ["max_pool2d", "ceil_mode", "[]"]),
    "huge window": (lambda: F.max_pool2d(X, 2, 10**30), mg.ShapeError, ["stride", "at most", str(10**30)]),
    "half a divisor": (
        lambda: F.avg_pool2d(X, 2, divisor_override=2.5),
        mg.ShapeError,
        ["avg_pool2d", "divisor_override", "2.5"],
    ),
    "no pixels": (lambda: F.max_pool2d(mg.zeros((1, 2, 0, 3)), 1), mg.ShapeError, ["(1, 2, 0, 3)"]),
    "adaptive size": (lambda: F.adaptive_avg_pool2d(X, 0), mg.ShapeError, ["output_size", "(0, 0)"]),
    "adaptive sizes": (lambda: F.adaptive_avg_pool2d(X, (1, 2, 3)), mg.ShapeError, ["output_size", "(1, 2, 3)"]),
    "adaptive float": (lambda: F.adaptive_avg_pool2d(X, 1.5), mg.ShapeError, ["adaptive_avg_pool2d", "1.5"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)
