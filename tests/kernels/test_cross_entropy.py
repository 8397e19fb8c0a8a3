"""Softmax cross-entropy: the definition is PyTorch's, and every variant is the definition."""

from __future__ import annotations

from typing import Any

import ml_dtypes  # noqa: F401  (NumPy knows bfloat16 by it)
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from claims.variants import assert_variant_matches_oracle, every_variant, lay_out, on_device_of, without_compiler
from minigrad.kernels import cross_entropy
from minigrad.kernels.cross_entropy import CrossEntropyProblem
from minigrad.kernels.errors import MinigradError
from minigrad.kernels.registry import use_kernels

IGNORED = -7
smoothings = st.sampled_from([0.0, 0.1, 1.0])
sizes = st.tuples(st.integers(0, 8), st.integers(1, 40))


def arrays(size: tuple[int, int], dtype: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """glosses, logits and targets, a third of which are ignored."""
    generator = np.random.default_rng(seed)
    targets = np.where(generator.random(size[0]) < 0.3, IGNORED, generator.integers(0, size[1], size[0]))
    logits = generator.standard_normal(size) * generator.choice([1, 10, 300])
    return generator.standard_normal(size[0]).astype(dtype), logits.astype(dtype), targets


@given(size=sizes, smoothing=smoothings, seed=st.integers(0, 999))
def test_it_is_pytorchs(size: tuple[int, int], smoothing: float, seed: int) -> None:
    glosses, logits, targets = arrays(size, "float64", seed)
    t = torch.tensor(logits, requires_grad=True)
    expected = F.cross_entropy(
        t, torch.tensor(targets), reduction="none", label_smoothing=smoothing, ignore_index=IGNORED
    )
    (glogits,) = torch.autograd.grad(expected, t, torch.tensor(glosses))
    problem = CrossEntropyProblem(*size, smoothing, IGNORED, "float64")
    with use_kernels(cross_entropy="reference"):
        losses = cross_entropy.forward(problem, logits, targets)
        gradient = cross_entropy.input_gradient(problem, glosses, logits, targets)
    # Logits of up to 1000 with an ulp of 1e-13 are subtracted from one another.
    np.testing.assert_allclose(losses, expected.detach(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gradient, glogits, rtol=1e-11, atol=1e-12)


@every_variant(cross_entropy.forward, cross_entropy.input_gradient)
@given(
    size=sizes,
    smoothing=smoothings,
    layout=st.sampled_from(["contiguous", "strided"]),
    targets_dtype=st.sampled_from(["int64", "int32"]),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 999),
)
def test_every_variant_is_the_definition(
    operation: Any,
    variant: str,
    size: tuple[int, int],
    smoothing: float,
    layout: str,
    targets_dtype: str,
    dtype: str,
    seed: int,
) -> None:
    glosses, logits, targets = arrays(size, dtype, seed)
    given_arrays = [lay_out(array, layout) for array in (glosses, logits, targets.astype(targets_dtype))]
    problem = CrossEntropyProblem(*size, smoothing, IGNORED, dtype)
    if operation is cross_entropy.forward:
        del given_arrays[0]
    # A difference of logits of up to 1000 is exact to an ulp of them, 6e-5 or 1.1e-13, and its exponential
    # to as much relatively; a probability near one, or a loss, is then off by that much.
    tolerance = {"float32": 1e-4, "float64": 1e-12}[dtype]
    assert_variant_matches_oracle(operation, variant, problem, given_arrays, tolerance)


@every_variant(cross_entropy.forward, cross_entropy.input_gradient)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_thousand_classes_in_every_float(operation: Any, variant: str, dtype: str) -> None:
    generator = np.random.default_rng(0)
    rows = 19  # more than the warps of a few blocks, and the last block is not full
    logits = (generator.standard_normal((rows, 1000)) * 3).astype(np.dtype(dtype))
    given_arrays = [
        generator.standard_normal(rows).astype(np.dtype(dtype)),
        logits,
        np.arange(rows, dtype=np.uint8),
    ]
    if operation is cross_entropy.forward:
        del given_arrays[0]
    problem = CrossEntropyProblem(rows, 1000, 0.1, IGNORED, dtype)
    assert_variant_matches_oracle(operation, variant, problem, given_arrays)


@every_variant(cross_entropy.forward)
def test_a_logit_of_minus_infinity_is_a_class_without_probability(operation: Any, variant: str) -> None:
    logits, targets = np.array([[0, -np.inf, 0], [-np.inf, 5, -np.inf]], np.float32), np.array([2, 1])
    with use_kernels(cross_entropy=variant):
        losses = operation(CrossEntropyProblem(2, 3), *on_device_of(operation, variant, (logits, targets)))
    np.testing.assert_allclose(losses, [np.log(2), 0], rtol=1e-6)  # a few roundings of float32


@every_variant(cross_entropy.forward, cross_entropy.input_gradient)
def test_large_logits_do_not_overflow(operation: Any, variant: str) -> None:
    logits = np.array([[1e4, 0, -1e4], [-1e4, -1e4, -1e4]], np.float32)
    arrays = [np.ones(2, np.float32), logits, np.array([1, 2])]
    problem = CrossEntropyProblem(2, 3)
    used = on_device_of(operation, variant, arrays[-operation.name.endswith("gradient") - 2 :])
    with use_kernels(cross_entropy=variant):
        result = operation(problem, *used)
    third = np.float32(1 / 3)
    expected = {
        "cross_entropy_forward": [1e4, np.log(3)],
        "cross_entropy_input_gradient": [[1, -1, 0], [third, third, third - 1]],
    }
    np.testing.assert_allclose(result, expected[operation.name], rtol=1e-6)  # a few roundings of float32


@without_compiler
@pytest.mark.parametrize("wrong", [-1, 3, 2**40])
def test_on_cuda_a_target_that_is_no_class_gives_nan(wrong: int) -> None:
    """The contract leaves it to the caller to look; a GPU would have to wait for the answer."""
    arrays = np.ones(2, np.float32), np.zeros((2, 3), np.float32), np.array([wrong, 1])
    glosses, logits, targets = on_device_of(cross_entropy.forward, "warps", arrays)
    losses = cross_entropy.forward(CrossEntropyProblem(2, 3), logits, targets)
    glogits = cross_entropy.input_gradient(CrossEntropyProblem(2, 3), glosses, logits, targets)
    assert np.isnan(losses).tolist() == [True, False]
    assert np.isnan(glogits).all(1).tolist() == [True, False]
    assert np.isfinite(glogits[1]).all()


def test_what_does_not_fit_is_said_with_its_values() -> None:
    with pytest.raises(MinigradError, match=r"label_smoothing must be between 0 and 1, got 1\.5"):
        CrossEntropyProblem(2, 3, 1.5)
    with pytest.raises(MinigradError, match=r"at least one class, got \(2, 0\)"):
        CrossEntropyProblem(2, 0)
