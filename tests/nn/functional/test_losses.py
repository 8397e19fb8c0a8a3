"""Softmax and losses beside PyTorch's."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn.functional as F
from claims.ops import assert_error, assert_same_as_torch, drawn, layouts, seeds

reductions = st.sampled_from(["none", "sum", "mean"])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(shape=hnp.array_shapes(min_dims=1, max_dims=4, max_side=5), layout=layouts, seed=seeds, data=st.data())
def test_softmax(name, shape, layout, seed, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    assert_same_as_torch(
        lambda x: getattr(F, name)(x, axis),
        lambda x: getattr(torch, name)(x, axis),
        drawn(shape, seed, -4, 4),
        layout=layout,
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_does_not_overflow(name):
    x = np.array([[1000.0, 0.0, -1000.0], [1e30, 1e30, 0.0]], np.float32).astype(np.float64)
    assert_same_as_torch(lambda x: getattr(F, name)(x, 1), lambda x: getattr(torch, name)(x, 1), x)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_an_empty_batch(name):
    x = np.zeros((0, 3))
    assert_same_as_torch(lambda x: getattr(F, name)(x, 1), lambda x: getattr(torch, name)(x, 1), x)


@st.composite
def classifications(draw, weighted):
    """Logits (C,), (N, C) or (N, C, ...), labels of which some may be ignored, and the options of the loss."""
    classes = draw(st.integers(1, 5))
    dims = draw(st.integers(0, 3))
    outer = draw(st.tuples(*[st.integers(1, 4)] * dims))
    ignore_index = draw(st.sampled_from([-100, -1, 0]))
    labels = draw(hnp.arrays(np.int64, outer, elements=st.integers(0, classes - 1)))
    # At least one label counts, or the mean is 0 / 0.
    random = np.random.default_rng(draw(seeds))
    ignored = random.random(outer) < 0.3
    labels = np.array(np.where(ignored, ignore_index, labels))
    if (labels == ignore_index).all():
        ignore_index = -7
        labels = np.array(np.clip(labels, 0, classes - 1))
    shape = (*outer[:1], classes, *outer[1:])
    options = {
        "ignore_index": ignore_index,
        "reduction": draw(reductions),
        "label_smoothing": draw(st.sampled_from([0.0, 0.1, 1.0])),
    }
    weight = drawn((classes,), draw(seeds), 0.5, 2) if weighted else None
    return drawn(shape, draw(seeds), -3, 3), labels, weight, options


@given(case=classifications(weighted=False), layout=layouts)
def test_cross_entropy_with_labels(case, layout):
    logits, labels, _, options = case
    assert_same_as_torch(
        lambda x, t: F.cross_entropy(x, t, **options),
        lambda x, t: torch.nn.functional.cross_entropy(x, t, **options),
        logits,
        labels,
        layout=layout,
    )


@given(case=classifications(weighted=True), layout=layouts)
def test_cross_entropy_with_weighted_classes(case, layout):
    logits, labels, weight, options = case
    assert_same_as_torch(
        lambda x, t, w: F.cross_entropy(x, t, w, **options),
        lambda x, t, w: torch.nn.functional.cross_entropy(x, t, w, **options),
        logits,
        labels,
        weight,
        constant=(2,),
        layout=layout,
    )


@given(
    outer=hnp.array_shapes(min_dims=0, max_dims=3, max_side=3),
    classes=st.integers(1, 4),
    weighted=st.booleans(),
    reduction=reductions,
    smoothing=st.sampled_from([0.0, 0.2]),
    layout=layouts,
    seed=seeds,
)
def test_cross_entropy_with_probabilities(outer, classes, weighted, reduction, smoothing, layout, seed):
    shape = (*outer[:1], classes, *outer[1:])
    arrays = [drawn(shape, seed, -3, 3), drawn(shape, seed + 1, 0, 1)]
    if weighted:
        arrays.append(drawn((classes,), seed + 2, 0.5, 2))
    options = {"reduction": reduction, "label_smoothing": smoothing}
    assert_same_as_torch(
        lambda *given: F.cross_entropy(*given, **options),
        lambda *given: torch.nn.functional.cross_entropy(*given, **options),
        *arrays,
        constant=(2,),
        layout=layout,
    )


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_labels_may_have_any_integer_dtype(dtype):
    logits, labels = drawn((4, 3)), np.array([0, 2, 1, 1])
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)).item()
    # float64 on both sides
    assert F.cross_entropy(mg.tensor(logits), mg.tensor(labels, dtype=dtype)).item() == pytest.approx(
        expected, rel=1e-12
    )


def test_losses_of_confident_logits_do_not_overflow():
    x = np.array([[1000.0, -1000.0], [-1000.0, 1000.0]])
    assert_same_as_torch(
        lambda x: F.cross_entropy(x, mg.tensor([0, 0])),
        lambda x: torch.nn.functional.cross_entropy(x, torch.tensor([0, 0])),
        x,
    )


def test_sum_over_an_empty_batch_is_zero():
    x, labels = np.zeros((0, 3)), np.zeros(0, np.int64)
    for reduction in ("sum", "none"):
        assert_same_as_torch(
            lambda x, t, r=reduction: F.cross_entropy(x, t, reduction=r),
            lambda x, t, r=reduction: torch.nn.functional.cross_entropy(x, t, reduction=r),
            x,
            labels,
        )


def test_mean_where_every_label_is_ignored_is_not_a_number():
    with np.errstate(invalid="ignore"):
        assert np.isnan(F.cross_entropy(mg.zeros((2, 3)), mg.tensor([-100, -100])).item())


@given(
    shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=4), reduction=reductions, layout=layouts, seed=seeds
)
def test_mse_loss(shape, reduction, layout, seed):
    assert_same_as_torch(
        lambda x, t: F.mse_loss(x, t, reduction),
        lambda x, t: torch.nn.functional.mse_loss(x, t, reduction=reduction),
        drawn(shape, seed),
        drawn(shape, seed + 1),
        layout=layout,
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("target", ["bool", "uint8", "int64", "float32", "float64"])
def test_mse_loss_has_the_dtype_that_pytorchs_has(dtype, target):
    x, t = np.ones(3, dtype), np.arange(3).astype(target)
    expected = torch.nn.functional.mse_loss(torch.tensor(x), torch.tensor(t))
    loss = F.mse_loss(mg.tensor(x), mg.tensor(t))
    assert (loss.dtype.name, loss.item()) == (str(expected.dtype).removeprefix("torch."), expected.item())


X, T = mg.zeros((4, 3)), mg.tensor([0, 1, 2, 0])
ERRORS = {
    "label": (
        lambda: F.cross_entropy(X, mg.tensor([0, 1, 3, 0])),
        mg.ShapeError,
        ["label 3", "position 2", "3 classes"],
    ),
    "negative label": (
        lambda: F.cross_entropy(X, mg.tensor([0, 1, 2, -1])),
        mg.ShapeError,
        ["label -1", "position 3"],
    ),
    "rows": (lambda: F.cross_entropy(X, mg.tensor([0, 1])), mg.ShapeError, ["(4, 3)", "(4,)", "(2,)"]),
    "a number": (lambda: F.cross_entropy(mg.tensor(1.0), mg.tensor(0)), mg.ShapeError, ["cross_entropy", "()"]),
    "weights": (lambda: F.cross_entropy(X, T, mg.ones(2)), mg.ShapeError, ["weight (2,)", "3 classes"]),
    "real labels": (
        lambda: F.cross_entropy(X, T.astype("float32")),
        mg.DTypeError,
        ["float32", "(4, 3)", "integers"],
    ),
    "list": (lambda: F.cross_entropy(X, [0, 1, 2, 0]), mg.DTypeError, ["targets", "list", "mg.tensor"]),
    "integers": (
        lambda: F.cross_entropy(mg.arange(6).reshape(2, 3), T),
        mg.DTypeError,
        ["cross_entropy", "int64"],
    ),
    "smoothing": (
        lambda: F.cross_entropy(X, T, label_smoothing=1.1),
        mg.MinigradError,
        ["label_smoothing", "1.1"],
    ),
    "reduction": (
        lambda: F.cross_entropy(X, T, reduction="max"),
        mg.MinigradError,
        ["reduction", "'max'", "mean"],
    ),
    "mse shapes": (lambda: F.mse_loss(X, mg.zeros((4, 1))), mg.ShapeError, ["mse_loss", "(4, 3)", "(4, 1)"]),
    "mse reduction": (lambda: F.mse_loss(X, X, "max"), mg.MinigradError, ["mse_loss", "'max'"]),
    "mse list": (lambda: F.mse_loss(mg.zeros(2), [1, 2]), mg.DTypeError, ["mse_loss", "target", "list"]),
    "mse input": (lambda: F.mse_loss([1, 2], mg.zeros(2)), mg.DTypeError, ["mse_loss", "input", "list"]),
    "mse integers": (lambda: F.mse_loss(T, T), mg.DTypeError, ["mse_loss", "int64"]),
    "smoothing word": (lambda: F.cross_entropy(X, T, label_smoothing="a"), mg.MinigradError, ["smoothing", "'a'"]),
    "ignored": (lambda: F.cross_entropy(X, T, ignore_index=1.5), mg.MinigradError, ["ignore_index", "1.5"]),
    "weights list": (lambda: F.cross_entropy(X, T, [1, 1, 1]), mg.DTypeError, ["weight", "list", "mg.tensor"]),
    "booleans": (lambda: F.cross_entropy(X, T > 0), mg.DTypeError, ["cross_entropy", "targets", "bool"]),
    "softmax axis": (lambda: F.softmax(X, 2), mg.ShapeError, ["softmax", "axis 2"]),
    "softmax dtype": (lambda: F.softmax(T), mg.DTypeError, ["softmax", "int64"]),
    "log_softmax dtype": (lambda: F.log_softmax(T, 0), mg.DTypeError, ["log_softmax", "int64"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)
