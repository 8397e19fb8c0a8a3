"""Batch normalisation, local response normalisation and dropout beside PyTorch's."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn.functional as F
from claims.ops import assert_close, assert_error, assert_same_as_torch, drawn, layouts, seeds

# Batches of at least two numbers a channel: (N, C), (N, C, L), (N, C, H, W).
batches = hnp.array_shapes(min_dims=2, max_dims=4, min_side=2, max_side=5)
# In float32 the gradient by x is a difference of numbers that nearly cancel where a channel has few values; the
# smallest here has two, and is left with a thousandth.
FLOAT32 = (1e-5, 1e-4, 1e-3)


@given(shape=batches, affine=st.booleans(), layout=layouts, seed=seeds)
def test_batch_norm_in_training(shape, affine, layout, seed):
    arrays = [drawn(shape, seed)]
    if affine:
        arrays += [drawn(shape[1:2], seed + 1, 0.5, 1.5), drawn(shape[1:2], seed + 2)]
    assert_same_as_torch(
        lambda x, *affine: F.batch_norm(x, None, None, *affine, training=True, eps=0.1),
        lambda x, *affine: torch.nn.functional.batch_norm(x, None, None, *affine, training=True, eps=0.1),
        *arrays,
        layout=layout,
        float32=FLOAT32,
    )


@given(shape=hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), empty=st.booleans(), layout=layouts, seed=seeds)
def test_batch_norm_in_evaluation(shape, empty, layout, seed):
    channels = shape[1:2]
    shape = (0 if empty else shape[0], *shape[1:])
    # Ours is differentiated by the statistics, too; PyTorch is not, so they are constants here.
    assert_same_as_torch(
        lambda x, w, b, mean, var: F.batch_norm(x, mean, var, w, b),
        lambda x, w, b, mean, var: torch.nn.functional.batch_norm(x, mean, var, w, b),
        drawn(shape, seed),
        drawn(channels, seed + 1),
        drawn(channels, seed + 2),
        drawn(channels, seed + 3),
        drawn(channels, seed + 4, 0.5, 2),
        layout=layout,
        constant=(3, 4),
    )


@given(shape=batches, training=st.booleans(), layout=layouts, seed=seeds)
def test_batch_norm_with_relu_in_the_same_pass(shape, training, layout, seed):
    c = shape[1:2]
    mean, var = drawn(c, seed + 3), drawn(c, seed + 4, 0.5, 2)
    statistics = (None, None) if training else (mean, var)

    def ours(x, w, b):
        given = [s if s is None else mg.asarray(s, dtype=x.dtype) for s in statistics]
        return F.batch_norm(x, *given, w, b, training, eps=0.1, activation="relu")

    def theirs(x, w, b):
        given = [s if s is None else torch.from_numpy(s) for s in statistics]
        return torch.relu(torch.nn.functional.batch_norm(x, *given, w, b, training, eps=0.1))

    arrays = drawn(shape, seed), drawn(c, seed + 1, 0.5, 1.5), drawn(c, seed + 2)
    assert_same_as_torch(ours, theirs, *arrays, layout=layout, float32=FLOAT32)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0])
@given(shape=batches, seed=seeds)
def test_running_statistics_move_as_pytorchs(dtype, momentum, shape, seed):
    arrays = [a.astype(dtype) for a in (drawn(shape, seed), drawn(shape[1:2], 1), drawn(shape[1:2], 2, 0.5, 2))]
    x, mean, var = (mg.tensor(a) for a in arrays)
    tx, tmean, tvar = (torch.from_numpy(a).double() for a in arrays)
    F.batch_norm(x, mean, var, training=True, momentum=momentum)
    torch.nn.functional.batch_norm(tx, tmean, tvar, training=True, momentum=momentum)
    tolerance = {"float64": 1e-12, "float32": 1e-6}[dtype]  # a few roundings
    assert_close(mean.numpy(), tmean.numpy(), tolerance, dtype, "running mean")
    assert_close(var.numpy(), tvar.numpy(), tolerance, dtype, "running variance")
    assert not mean.requires_grad


def test_running_statistics_stay_in_evaluation():
    mean, var = mg.tensor([0.5]), mg.tensor([2.0])
    F.batch_norm(mg.ones((4, 1)), mean, var, training=False)
    assert (mean.item(), var.item()) == (0.5, 2.0)


def test_running_variance_of_equal_values_is_not_negative():
    var = mg.tensor([1.0])
    F.batch_norm(mg.full((64, 1), 0.3), mg.zeros(1), var, training=True, momentum=1.0, eps=1e-3)
    assert var.item() >= 0.0
    assert var.item() < 1e-9  # 0, but for the rounding of eps


def test_running_variance_may_be_far_smaller_than_eps():
    x = mg.asarray((1e-4 * np.random.default_rng(0).standard_normal((8, 3, 9, 9))).astype("float32"))
    mean, variance = mg.zeros(3), mg.zeros(3)
    F.batch_norm(x, mean, variance, training=True, momentum=1.0, eps=1e-3)
    exact = x.numpy().astype("float64").var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(variance.numpy(), exact, rtol=1e-6)  # a dozen roundings of 6e-8


def test_statistics_of_numbers_far_from_zero():
    x = drawn((8, 2, 4, 4)) + 1000.0
    assert_same_as_torch(
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: torch.nn.functional.batch_norm(x, None, None, training=True),
        x.astype(np.float32).astype(np.float64),
        # x itself is only known to 6e-5 here, which the normalisation multiplies by 1 / std = 1
        float32=(1e-4, 1e-3, 1e-2),
    )


@given(
    shape=hnp.array_shapes(min_dims=3, max_dims=5, max_side=4),
    size=st.integers(1, 6),
    beta=st.sampled_from([0.5, 0.75, 1.0]),
    alpha=st.sampled_from([1e-4, 0.5, 2.0]),
    k=st.sampled_from([1.0, 2.0]),
    empty=st.booleans(),
    layout=layouts,
    seed=seeds,
)
def test_local_response_norm(shape, size, beta, alpha, k, empty, layout, seed):
    shape = (0 if empty else shape[0], *shape[1:])
    assert_same_as_torch(
        lambda x: F.local_response_norm(x, size, alpha, beta, k),
        lambda x: torch.nn.functional.local_response_norm(x, size, alpha, beta, k),
        drawn(shape, seed),
        layout=layout,
    )


@given(
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0),
    p=st.sampled_from([0.2, 0.5, 0.7]),
    layout=layouts,
    seed=seeds,
)
def test_dropout_is_a_mask_that_the_gradient_shares(shape, p, layout, seed):
    ones = F.dropout(mg.ones(shape, np.float64), p, generator=mg.Generator(seed)).numpy()
    assert set(np.unique(ones)) <= {0.0, 1 / (1 - p)}
    assert_same_as_torch(
        lambda x: F.dropout(x, p, generator=mg.Generator(seed)),
        lambda x: x * torch.from_numpy(np.array(ones)),
        drawn(shape, seed),
        layout=layout,
    )


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_dropout_drops_as_often_as_it_says(p):
    n = 100_000
    kept = np.count_nonzero(F.dropout(mg.ones(n), p, generator=mg.Generator(1)).numpy())
    # Five standard deviations of a binomial distribution: one seed in two million fails, and this one does not.
    assert abs(kept - n * (1 - p)) < 5 * np.sqrt(n * p * (1 - p))


def test_dropout_changes_nothing_in_evaluation_or_with_probability_zero():
    x = mg.ones((3, 4))
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x


def test_dropout_with_probability_one_leaves_zeros():
    x = mg.ones(5, requires_grad=True)
    y = F.dropout(x, 1.0)
    y.sum().backward()
    assert y.tolist() == x.grad.tolist() == [0.0] * 5


def test_dropout_draws_anew_each_time_and_the_same_after_seeding():
    x = mg.ones(64)
    mg.manual_seed(3)
    first, second = F.dropout(x), F.dropout(x)
    mg.manual_seed(3)
    np.testing.assert_array_equal(F.dropout(x).numpy(), first.numpy())
    assert (first.numpy() != second.numpy()).any()


@pytest.mark.parametrize("size", [5, 6, 7, 100, 10**6])
def test_local_response_norm_over_more_channels_than_there_are(size):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 4))
    expected = torch.nn.functional.local_response_norm(torch.tensor(x), size, alpha=0.5)
    # 1e-12: some float64 roundings, as alpha / size is taken of the shortened window.
    np.testing.assert_allclose(F.local_response_norm(mg.tensor(x), size, alpha=0.5).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("size", [10**12, 2**63, 10**30])
def test_local_response_norm_over_a_window_that_no_memory_holds(size):
    x = mg.rand((2, 3, 4, 4))
    np.testing.assert_allclose(
        F.local_response_norm(x, size).numpy(), x.numpy(), rtol=1e-6
    )  # alpha / size is gone


X = mg.zeros((2, 3, 4, 4))
ERRORS = {
    "one axis": (lambda: F.batch_norm(mg.zeros(3), None, None), mg.ShapeError, ["batch_norm", "(3,)"]),
    "weight": (
        lambda: F.batch_norm(X, None, None, mg.zeros(2), training=True),
        mg.ShapeError,
        ["batch_norm", "weight", "(2,)", "(3,)"],
    ),
    "running_mean": (lambda: F.batch_norm(X, mg.zeros(4), mg.ones(3)), mg.ShapeError, ["running_mean", "(4,)"]),
    "one value": (
        lambda: F.batch_norm(mg.zeros((1, 3)), None, None, training=True),
        mg.ShapeError,
        ["batch_norm", "more than one value", "(1, 3)"],
    ),
    "no value": (
        lambda: F.batch_norm(mg.zeros((0, 3, 2, 2)), None, None, training=True),
        mg.ShapeError,
        ["batch_norm", "more than one value", "(0, 3, 2, 2)"],
    ),
    "integers": (
        lambda: F.batch_norm(mg.arange(6).reshape(2, 3), None, None, training=True),
        mg.DTypeError,
        ["batch_norm", "int64"],
    ),
    "dtypes": (
        lambda: F.batch_norm(X, mg.zeros(3, "float64"), mg.ones(3, "float64")),
        mg.DTypeError,
        ["batch_norm", "running_mean float64", "input float32"],
    ),
    "activation": (
        lambda: F.batch_norm(X, None, None, training=True, activation="tanh"),
        mg.MinigradError,
        ["batch_norm", "'tanh'", "relu"],
    ),
    "lrn size": (lambda: F.local_response_norm(X, 0), mg.ShapeError, ["local_response_norm", "size", "0"]),
    "lrn half": (lambda: F.local_response_norm(X, 2.5), mg.ShapeError, ["local_response_norm", "size", "2.5"]),
    "training": (lambda: F.dropout(X, training="no"), mg.MinigradError, ["training", "True or False", "'no'"]),
    "lrn alpha": (lambda: F.local_response_norm(X, 2, "a"), mg.MinigradError, ["alpha must be a number", "'a'"]),
    "lrn beta": (lambda: F.local_response_norm(X, 2, beta=None), mg.MinigradError, ["beta", "None"]),
    "lrn k": (lambda: F.local_response_norm(X, 2, k=np.nan), mg.MinigradError, ["k must be a number", "nan"]),
    "momentum none": (
        lambda: F.batch_norm(X, mg.zeros(3), mg.ones(3), training=True, momentum=None),
        mg.MinigradError,
        ["batch_norm", "momentum", "None", "nn.BatchNorm2d"],
    ),
    "momentum": (
        lambda: F.batch_norm(X, None, None, momentum=2),
        mg.MinigradError,
        ["momentum", "from 0 to 1", "2"],
    ),
    "eps": (lambda: F.batch_norm(X, None, None, eps=np.nan), mg.MinigradError, ["batch_norm", "eps", "nan"]),
    "one statistic": (
        lambda: F.batch_norm(X, mg.zeros(3), None),
        mg.MinigradError,
        ["running_mean and running_var", "both"],
    ),
    "lrn axes": (lambda: F.local_response_norm(mg.zeros((2, 3)), 2), mg.ShapeError, ["three axes", "(2, 3)"]),
    "lrn integers": (lambda: F.local_response_norm(X.astype("int64"), 2), mg.DTypeError, ["int64"]),
    "dropout": (lambda: F.dropout(X, 1.5), mg.MinigradError, ["dropout", "1.5", "from 0 to 1"]),
    "dropout word": (lambda: F.dropout(X, "a"), mg.MinigradError, ["dropout", "p must be a number", "'a'"]),
    "dropout nan": (lambda: F.dropout(X, np.nan), mg.MinigradError, ["dropout", "p must be a number", "nan"]),
    "dropout generator": (
        lambda: F.dropout(X, generator=np.random.default_rng()),
        mg.MinigradError,
        ["dropout", "generator", "mg.random.Generator"],
    ),
    "dropout integers": (lambda: F.dropout(mg.arange(3)), mg.DTypeError, ["dropout", "int64"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)
