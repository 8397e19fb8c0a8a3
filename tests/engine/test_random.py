"""Random numbers: a stream by seed and offset, the same each time."""

import numpy as np
import pytest

import minigrad as mg
from claims.ops import assert_error

DRAWS = {
    "rand": lambda g: mg.rand((3, 4), generator=g),
    "randn": lambda g: mg.randn((3, 4), generator=g),
    "randint": lambda g: mg.randint(0, 1000, (3, 4), generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_one_seed_one_stream(name):
    draw = DRAWS[name]
    first, other = draw(mg.Generator(1)), draw(mg.Generator(2))
    np.testing.assert_array_equal(draw(mg.Generator(1)).numpy(), first.numpy())
    assert (first.numpy() != other.numpy()).any()


@pytest.mark.parametrize("name", DRAWS)
def test_two_draws_differ(name):
    generator = mg.Generator(1)
    assert (DRAWS[name](generator).numpy() != DRAWS[name](generator).numpy()).any()


@pytest.mark.parametrize("name", DRAWS)
def test_state_goes_on_where_it_was_saved(name):
    generator, restored = mg.Generator(5), mg.Generator()
    DRAWS[name](generator)
    restored.load_state_dict(generator.state_dict())
    np.testing.assert_array_equal(DRAWS[name](restored).numpy(), DRAWS[name](generator).numpy())


def test_state_is_a_seed_and_an_offset():
    generator = mg.Generator(7)
    assert generator.state_dict() == {"seed": 7, "offset": 0}
    assert generator.reserve(10) == 0
    assert generator.reserve(5) == 10
    assert generator.state_dict() == {"seed": 7, "offset": 15}


def test_draws_of_one_offset_do_not_depend_on_earlier_sizes():
    a, b = mg.Generator(1), mg.Generator(1)
    mg.rand(8, generator=a)
    for _ in range(8):
        mg.rand(1, generator=b)
    np.testing.assert_array_equal(mg.rand(3, generator=a).numpy(), mg.rand(3, generator=b).numpy())


def test_manual_seed_starts_the_default_stream():
    mg.manual_seed(3)
    first = mg.randn(4)
    assert mg.manual_seed(3) is mg.random.default_generator
    np.testing.assert_array_equal(mg.randn(4).numpy(), first.numpy())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform_numbers(dtype):
    x = mg.rand(100_000, dtype, generator=mg.Generator(0)).numpy()
    assert x.dtype == dtype
    assert x.min() >= 0
    assert x.max() < 1  # float16 would round one in 4096 up to 1
    # The mean has a standard deviation of 0.0009; float16 cuts off a quarter thousandth.
    assert abs(x.astype("float64").mean() - 0.5) < 0.005


def test_normal_numbers():
    x = mg.randn(100_000, generator=mg.Generator(0)).numpy()
    # Standard deviations of mean and variance: 0.003 and 0.0045.
    assert abs(x.mean()) < 0.015
    assert abs(x.var() - 1) < 0.022


def test_integers_cover_their_range():
    x = mg.randint(-2, 3, (1000,), generator=mg.Generator(0))
    assert x.dtype == np.int64
    assert sorted(set(x.tolist())) == [-2, -1, 0, 1, 2]


def test_shapes_and_gradients():
    assert mg.rand(3).shape == (3,)
    assert mg.randn(()).shape == ()
    assert mg.rand((0, 2)).shape == (0, 2)
    assert mg.randn((2, 3), requires_grad=True).requires_grad


ERRORS = {
    "negative seed": (lambda: mg.Generator(-1), mg.MinigradError, ["seed", "-1"]),
    "large seed": (lambda: mg.manual_seed(2**64), mg.MinigradError, ["seed", str(2**64)]),
    "seed": (lambda: mg.Generator("lucky"), mg.MinigradError, ["seed", "'lucky'"]),
    "offset": (lambda: mg.Generator(1, -1), mg.MinigradError, ["offset", "-1"]),
    "state": (lambda: mg.Generator().load_state_dict({"seed": 1}), mg.MinigradError, ["seed and offset", "seed"]),
    "size": (lambda: mg.rand((2, -1)), mg.ShapeError, ["rand", "(2, -1)"]),
    "dtype": (lambda: mg.rand(2, "int64"), mg.DTypeError, ["rand", "int64", "randint"]),
    "normal dtype": (lambda: mg.randn(2, "bool"), mg.DTypeError, ["randn", "bool"]),
    "range": (lambda: mg.randint(3, 3, (2,)), mg.ShapeError, ["randint", "3"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)
