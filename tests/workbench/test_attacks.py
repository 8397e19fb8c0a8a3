"""A kernel that cheats is caught: whatever it does, it gets no time."""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Any

import numpy as np
import pytest

from claims.attacks import Kernel, assert_wrong, benched
from minigrad.kernels import conv2d, pool2d
from minigrad.kernels.conv2d import Conv2dProblem
from minigrad.kernels.pool2d import Pool2dProblem
from minigrad.workbench.layers import Layer
from minigrad.workbench.roofline import Ceilings
from minigrad.workbench.session import Session
from minigrad.workbench.settings import Settings

PROBLEM = Conv2dProblem(2, 5, (9, 7), 6, (3, 3), padding=(1, 1))
right = conv2d.forward.variants["reference"].function


pytestmark = pytest.mark.usefixtures("restored_variants")


def assert_caught(kernel: Kernel, *phrases: str, operation: Any = conv2d.forward, problem: Any = PROBLEM) -> None:
    """A kernel is found to be wrong."""
    assert_wrong(benched(kernel, operation, problem), problem, *phrases)


def test_an_honest_kernel_gets_a_time() -> None:
    row = benched(right, conv2d.forward, PROBLEM)
    assert (row.verdict, row.reason) == ("right", "")
    assert row.median_ms is not None
    assert row.median_ms > 0


def test_the_same_memory_at_each_call() -> None:
    memory = np.empty(PROBLEM.output_shape, np.float32)

    def kernel(problem: Any, *arrays: Any) -> Any:
        memory[...] = right(problem, *arrays)
        return memory

    assert_caught(kernel, "y changes when it is called again")


def test_the_result_of_the_call_before() -> None:
    results = [np.zeros(PROBLEM.output_shape, np.float32)]

    def kernel(problem: Any, *arrays: Any) -> Any:
        results.append(right(problem, *arrays))
        return results[-2]

    assert_caught(kernel, "y[")


def test_a_result_that_is_memory_of_an_argument() -> None:
    problem = Pool2dProblem((2, 3, 5, 5), (1, 1), (1, 1))

    def kernel(problem: Any, x: Any) -> Any:
        return x, np.zeros(x.shape, np.uint8)

    assert_caught(kernel, "y is memory of its argument x", operation=pool2d.max_forward, problem=problem)


def test_nan_in_one_place() -> None:
    def kernel(problem: Any, *arrays: Any) -> Any:
        y = right(problem, *arrays)
        y[1, 2, 3, 4] = np.nan
        return y

    assert_caught(kernel, "y[1, 2, 3, 4] is nan and should be", "1 of 756 elements")


def test_one_wrong_element_among_many_in_16_bits() -> None:
    """The norm of the error alone would forgive it: 1 / sqrt(elements) is within the tolerance of bfloat16."""
    problem = Conv2dProblem(2, 2, (128, 160), 4, (1, 1), dtype="bfloat16")

    def kernel(problem: Any, *arrays: Any) -> Any:
        y = right(problem, *arrays)
        y[1, 3, 77, 5] += 2
        return y

    operation = conv2d.forward
    operation.variant("attack", device="cpu")(kernel)
    session = Session(
        Settings(dtype="bfloat16", variants=("attack",), seconds=0.0, odd=0, with_pytorch=False), Ceilings(1, 1)
    )
    ((row,),) = session.measure([Layer(operation.name, problem)])
    assert row.verdict == "wrong"
    assert "y[1, 3, 77, 5]" in row.reason


def test_a_part_that_is_not_written() -> None:
    def kernel(problem: Any, *arrays: Any) -> Any:
        y = np.empty(problem.output_shape, np.float32)
        y[:, :-1] = right(problem, *arrays)[:, :-1]
        return y

    assert_caught(kernel, "y[")


def test_an_unwritten_part_that_is_rightly_zero_by_chance() -> None:
    """Half of a ReLU's results are zero, as fresh memory is; memory is poisoned, so that the rest shows."""
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("only glibc fills the memory that it hands out")
    problem = Conv2dProblem(1, 1, (120, 120), 1, (1, 1))
    relu = conv2d.forward_relu.variants["reference"].function

    def kernel(problem: Any, *arrays: Any) -> Any:
        y, values = np.empty(problem.output_shape, np.float32), relu(problem, *arrays)
        y[values > 0] = values[values > 0]
        return y

    assert_caught(kernel, "should be 0", operation=conv2d.forward_relu, problem=problem)


def test_a_cache_by_the_address_of_the_input() -> None:
    cache: dict[int, Any] = {}

    def kernel(problem: Any, x: Any, *others: Any) -> Any:
        if x.ctypes.data not in cache:
            cache[x.ctypes.data] = right(problem, x, *others)
        return cache[x.ctypes.data].copy()

    assert_caught(kernel, "it remembers addresses")


def test_a_cache_that_begins_when_it_has_been_checked() -> None:
    cache: dict[int, Any] = {}
    calls = 0

    def kernel(problem: Any, x: Any, *others: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls <= 5 or x.ctypes.data not in cache:
            cache[x.ctypes.data] = right(problem, x, *others)
        return cache[x.ctypes.data].copy()

    assert_caught(kernel, "after it was timed", "it remembers addresses")


@pytest.mark.parametrize("name", ["x", "weight"])
def test_a_changed_argument(name: str) -> None:
    def kernel(problem: Any, x: Any, weight: Any, bias: Any) -> Any:
        y = right(problem, x, weight, bias)
        {"x": x, "weight": weight}[name][1, 0, 2, 1] += 1
        return y

    assert_caught(kernel, f"it changes its argument {name}, at index (1, 0, 2, 1)")


def test_a_changed_argument_does_not_harm_the_variants_that_follow() -> None:
    def kernel(problem: Any, x: Any, weight: Any, bias: Any) -> Any:
        x += 1
        return right(problem, x, weight, bias)

    conv2d.forward.variants = {}
    conv2d.forward.variant("attack", device="cpu")(kernel)
    conv2d.forward.variant("reference", device="cpu")(right)
    settings = Settings(seconds=0.0, odd=2, with_pytorch=False)
    odd, rows = Session(settings, Ceilings(1e10, 1e11)).measure([Layer("conv2d_forward", PROBLEM)])
    assert [row.verdict for row in odd] == ["wrong", "right"]
    assert [row.verdict for row in rows] == ["wrong", "right"]


def test_work_only_when_it_is_not_timed() -> None:
    calls = 0

    def kernel(problem: Any, *arrays: Any) -> Any:
        nonlocal calls
        calls += 1
        return right(problem, *arrays) if calls <= 3 else np.zeros(problem.output_shape, np.float32)

    assert_caught(kernel, "when it is timed, y[")


def test_work_only_when_it_is_timed() -> None:
    calls = 0

    def kernel(problem: Any, *arrays: Any) -> Any:
        nonlocal calls
        calls += 1
        return right(problem, *arrays) if calls > 3 else np.zeros(problem.output_shape, np.float32)

    assert_caught(kernel, "y[")


@pytest.mark.parametrize("calls_on_time", [0, 3])
def test_a_return_before_the_work_is_done(calls_on_time: int) -> None:
    """Another thread finishes the work, from the first call on or only when it is timed."""
    calls = 0

    def kernel(problem: Any, *arrays: Any) -> Any:
        nonlocal calls
        calls += 1
        y = np.zeros(problem.output_shape, np.float32)

        def work(pause: float) -> None:
            time.sleep(pause)
            y[...] = right(problem, *arrays)

        if calls <= calls_on_time:
            work(0)
        else:
            threading.Thread(target=work, args=(0.05,)).start()
        return y

    assert_caught(kernel, "y[", *(["as it returns"] if calls_on_time else []))


@pytest.mark.parametrize("error", [ZeroDivisionError("no rows"), SystemExit(0)])
def test_an_exception(error: BaseException) -> None:
    def kernel(problem: Any, *arrays: Any) -> Any:
        raise error

    assert_caught(kernel, f"it raises {type(error).__name__}: {error} (", __file__, "line ")


@pytest.mark.parametrize(
    ("result", "phrase"),
    [
        (np.zeros((2, 6, 9, 8), np.float32), "y is float32 (2, 6, 9, 8); the contract has float32 (2, 6, 9, 7)"),
        (np.zeros((2, 6, 9, 7)), "y is float64 (2, 6, 9, 7)"),
        (None, "y is NoneType"),
        ((1, 2), "it returns 2 results; the contract has y"),
    ],
)
def test_results_that_are_not_the_contracts(result: Any, phrase: str) -> None:
    assert_caught(lambda problem, *arrays: result, phrase)


def test_a_wrong_integer() -> None:
    problem = Pool2dProblem((1, 2, 5, 5), (2, 2), (2, 2))
    reference = pool2d.max_forward.variants["reference"].function

    def kernel(problem: Any, x: Any) -> Any:
        y, indices = reference(problem, x)
        indices[0, 1, 1, 0] ^= 1
        return y, indices

    assert_caught(kernel, "indices[0, 1, 1, 0] is", operation=pool2d.max_forward, problem=problem)


def test_what_is_wrong_on_odd_shapes_gets_no_time_on_layers() -> None:
    def kernel(problem: Any, *arrays: Any) -> Any:
        y = right(problem, *arrays)
        return y * 2 if problem.stride != (1, 1) else y

    conv2d.forward.variant("attack", device="cpu")(kernel)
    settings = Settings(variants=("attack",), seconds=0.0, odd=6, with_pytorch=False)
    (odd,), (layer,) = Session(settings, Ceilings(1e10, 1e11)).measure([Layer("conv2d_forward", PROBLEM)])
    assert odd.verdict == "wrong"
    assert "Conv2dProblem(" in odd.reason
    assert (layer.verdict, layer.median_ms) == ("right", None)
    assert "wrong on odd shapes" in layer.reason
