"""Dropout: Philox is the published generator, and the mask depends on the logical position alone."""

from __future__ import annotations

from typing import Any

import ml_dtypes  # noqa: F401  (NumPy knows bfloat16 by it)
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims.variants import (
    assert_variant_matches_oracle,
    every_variant,
    lay_out,
    on_device_of,
    without_compiler,
)
from minigrad.kernels import dropout, philox
from minigrad.kernels.dropout import DropoutProblem
from minigrad.kernels.errors import MinigradError
from minigrad.kernels.philox.cpu import block
from minigrad.kernels.philox.reference import philox4x32
from minigrad.kernels.registry import use_kernels

# The known answers that come with Random123, for philox4x32 with 10 rounds: counter, key, result.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def numbers(text: str) -> list[np.uint64]:
    return [np.uint64(int(word, 16)) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_published_words(counter: str, key: str, answer: str) -> None:
    assert list(block(*numbers(counter), *numbers(key))) == numbers(answer)
    counters = tuple(np.array([word]) for word in numbers(counter))
    key_words = tuple(int(word) for word in numbers(key))
    whole = philox4x32(counters, key_words)  # type: ignore[arg-type]
    assert [int(word[0]) for word in whole] == numbers(answer)


@pytest.mark.parametrize("first", [0, 2**32 - 2, 2**64 - 2])
def test_blocks_are_numbered_in_64_bits_and_wrap_around(first: int) -> None:
    words = philox.words(2**63 + 5, first, 4)
    assert words.dtype == np.uint32
    for i in range(4):
        counter = (first + i) % 2**64
        one_by_one = block(*(np.uint64(v) for v in (counter % 2**32, counter >> 32, 0, 0, 5, 2**31)))
        assert words[i].tolist() == [int(word) for word in one_by_one]


shapes = st.lists(st.integers(0, 7), min_size=0, max_size=4).map(tuple)
sixty_four_bits = st.integers(0, 2**64 - 1)


@every_variant(dropout.forward)
@given(
    shape=shapes,
    probability=st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]),
    seed=sixty_four_bits,
    offset=sixty_four_bits,
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_every_variant_is_the_definition(
    operation: Any,
    variant: str,
    shape: tuple[int, ...],
    probability: float,
    seed: int,
    offset: int,
    dtype: str,
) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    problem = DropoutProblem(shape, probability, dtype)
    assert_variant_matches_oracle(operation, variant, problem, (x, seed, offset))


@every_variant(dropout.forward)
@pytest.mark.parametrize("layout", ["channels_last", "channel_slice", "strided"])
def test_the_mask_does_not_depend_on_the_layout(operation: Any, variant: str, layout: str) -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 3, 7)).astype(np.float32)
    problem = DropoutProblem(x.shape, 0.4)
    other, contiguous = on_device_of(operation, variant, (lay_out(x, layout), x))
    with use_kernels(dropout=variant):
        np.testing.assert_array_equal(operation(problem, other, 1, 2), operation(problem, contiguous, 1, 2))


@pytest.mark.parametrize("variant", ["reference", "blocks"])
def test_a_base_in_memory_is_added_to_the_offset(variant: str) -> None:
    x, problem = np.ones((7, 5), np.float32), DropoutProblem((7, 5), 0.4)
    with use_kernels(dropout=variant):
        expected = dropout.forward(problem, x, 1, 12)
        base = np.array(2**64 - 5, np.uint64)  # counted modulo 2**64
        np.testing.assert_array_equal(dropout.forward(problem, x, 1, 17, base), expected)


@every_variant(dropout.forward)
@pytest.mark.parametrize("start", [1, 2])
def test_an_array_may_begin_anywhere(operation: Any, variant: str, start: int) -> None:
    x, problem = np.random.default_rng(0).standard_normal(46).astype(np.float32), DropoutProblem((43,), 0.4)
    (memory,) = on_device_of(operation, variant, (x,))
    with use_kernels(dropout=variant):
        y = operation(problem, memory[start : start + 43], 5, 6)
    with use_kernels(dropout="reference"):
        np.testing.assert_array_equal(y, dropout.forward(problem, x[start : start + 43], 5, 6))


@without_compiler
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_mask_is_the_same_in_16_bits(dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((9, 7)).astype(np.dtype(dtype))
    assert_variant_matches_oracle(
        dropout.forward, "four_a_thread", DropoutProblem(x.shape, 0.4, dtype), (x, 2**40 + 1, 2**64 - 3)
    )


@every_variant(dropout.forward)
def test_the_mask_is_made_of_the_words_in_order(operation: Any, variant: str) -> None:
    """Element i is kept where word i % 4 of block offset + i // 4 is at least the probability."""
    problem = DropoutProblem((7, 30), 0.3)
    (x,) = on_device_of(operation, variant, (np.ones(problem.shape, np.float32),))
    with use_kernels(dropout=variant):
        y = operation(problem, x, 11, 1000)
    words = philox.words(11, 1000, problem.blocks).ravel()[: problem.size].astype(float)
    expected = np.where(words / 2**32 >= 0.3, np.float32(1 / 0.7), np.float32(0))
    np.testing.assert_array_equal(y.ravel(), expected)


@every_variant(dropout.forward)
def test_the_mean_is_kept_and_the_rate_is_right(operation: Any, variant: str) -> None:
    problem = DropoutProblem((1000, 1000), 0.2, "float64")
    (x,) = on_device_of(operation, variant, (np.ones(problem.shape),))
    with use_kernels(dropout=variant):
        y = operation(problem, x, 3, 0)
    # A million draws: the standard deviation of the rate is 4e-4; five of them.
    assert abs((y == 0).mean() - 0.2) < 2e-3
    assert abs(y.mean() - 1) < 2.5e-3


@every_variant(dropout.forward)
def test_nan_is_not_hidden_by_being_dropped(operation: Any, variant: str) -> None:
    (x,) = on_device_of(operation, variant, (np.full((4, 5), np.nan, np.float32),))
    with use_kernels(dropout=variant):
        assert np.isnan(operation(DropoutProblem(x.shape, 0.5), x, 0, 0)).all()


def test_the_threshold_is_exact_at_the_ends() -> None:
    assert DropoutProblem((1,), 0.0).threshold == 0  # every word keeps
    assert DropoutProblem((1,), 1.0).threshold == 2**32  # no word keeps
    assert DropoutProblem((1,), 2.0**-32).threshold == 1  # only the word 0 drops


@pytest.mark.parametrize("probability", [-0.1, 1.5, float("nan")])
def test_a_probability_out_of_range_is_said(probability: float) -> None:
    with pytest.raises(MinigradError, match=f"probability must be between 0 and 1, got {probability}"):
        DropoutProblem((2,), probability)
