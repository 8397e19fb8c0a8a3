"""A captured graph does at each launch what the program did, and refuses what a graph cannot do."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from claims import fake_cupy
from claims.variants import without_compiler, without_gpu
from minigrad.device import library, placed
from minigrad.kernels import accumulate
from minigrad.kernels.cuda import emulated_cuda
from minigrad.kernels.cuda.buffers import empty, uploaded
from minigrad.kernels.cuda.graph import GraphStream, is_capturing
from minigrad.kernels.registry import use_kernels


@pytest.fixture(params=["emulated", "stand-in", pytest.param("gpu", marks=[pytest.mark.gpu, without_gpu])])
def xp(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "stand-in":
        with fake_cupy.installed() as module:
            yield module
    else:
        yield library("emulated" if request.param == "emulated" else "cuda")


def on_host(array: Any) -> np.ndarray:
    return np.asarray(array.get())


def assert_replays(xp: Any, work: Callable[[Any], Any]) -> None:
    """A graph of `work`, captured where its argument holds zeros, gives for other values what `work` gives."""
    x = xp.zeros((3, 4), np.float32)
    with GraphStream(xp) as stream:
        work(x)  # what is compiled at the first call
        graph, result = stream.capture(lambda: work(x))
        assert not is_capturing()
        for seed in (0, 1):
            values = np.random.default_rng(seed).uniform(0.5, 2, (3, 4)).astype(np.float32)
            x.set(values)
            graph.launch()
            stream.synchronize()
            found, changed = on_host(result), on_host(x)
            x.set(values)
            np.testing.assert_array_equal(found, on_host(work(x)))
            np.testing.assert_array_equal(changed, on_host(x))
            assert found.any()


def add_in_place(x: Any) -> Any:
    x += 1
    return x * 2


def assign(x: Any) -> Any:
    y = x.copy()
    y[1:, ::2] = x[0, 0]
    y[0].fill(3)
    return y


WORK: dict[str, Callable[[Any, Any], Any]] = {
    "arithmetic": lambda xp, x: (x * x + 1.0 - x / 3).sum(axis=0, keepdims=True),
    "functions": lambda xp, x: xp.where(x > 1, xp.exp(x), xp.sqrt(x)),
    "in place": lambda xp, x: add_in_place(x),
    "assignment": lambda xp, x: assign(x),
    "views": lambda xp, x: x.T[1:3].reshape(2, 3) * 2,
    "copies": lambda xp, x: xp.ascontiguousarray(x.T).reshape(-1).astype(np.float64),
    "indices": lambda xp, x: xp.take_along_axis(x, xp.argmax(x, axis=1).reshape(3, 1), 1),
    "joining": lambda xp, x: xp.concatenate([x, xp.ones((1, 4), np.float32)]),
    "statistics": lambda xp, x: x.mean() + x.max() - x.min(),
    "sums from zeros": lambda xp, x: sum_into_zeros(xp, x),
    "a table": lambda xp, x: x[0] * uploaded(np.arange(4, dtype=np.float32), x),
}


def sum_into_zeros(xp: Any, x: Any) -> Any:
    total = xp.zeros(4, np.float32)
    for row in range(3):
        total += x[row]
    return total


@without_compiler
@pytest.mark.parametrize("name", WORK)
def test_an_operation_of_the_library_is_done_at_each_launch(xp: Any, name: str) -> None:
    assert_replays(xp, lambda x: WORK[name](xp, x))


@without_compiler
def test_a_kernel_is_launched_at_each_launch(xp: Any) -> None:
    problem = accumulate.AccumulateProblem((3, 4))

    def work(x: Any) -> Any:
        with use_kernels(accumulate="stream"):
            y = accumulate.add(problem, x, x)
            accumulate.add_to(problem, y, x)
        return y

    assert_replays(xp, work)


REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "a copy to the host": lambda xp, x: x.get(),
    "a number": lambda xp, x: float(x.sum()),
    "a decision": lambda xp, x: 1 if (x > 0).any() else 0,
    "an item": lambda xp, x: x[0, 0].item(),
    "lists": lambda xp, x: x.tolist(),
    "a copy from the host": lambda xp, x: placed(np.ones(3), xp),
    "a graph in a graph": lambda xp, x: GraphStream(xp).capture(lambda: None),
}
NOT_BY_CUDA: dict[str, Callable[[Any, Any], Any]] = {  # which captures the first, and does not hear of the second
    "values from the host": lambda xp, x: x.set(np.zeros((3, 4), np.float32)),
    "waiting": lambda xp, x: xp.cuda.Stream(non_blocking=True).record().synchronize(),
}


@without_compiler
@pytest.mark.parametrize("name", [*REFUSED, *NOT_BY_CUDA])
def test_what_would_wait_for_the_device_is_refused(xp: Any, name: str) -> None:
    if name in NOT_BY_CUDA and xp.cuda.Stream is not emulated_cuda.Stream:
        pytest.skip("CUDA says nothing of it")
    x = xp.ones((3, 4), np.float32)
    with GraphStream(xp) as stream:
        with pytest.raises(Exception, match=r"captur|cudaError|CUDA_ERROR"):
            stream.capture(lambda: {**REFUSED, **NOT_BY_CUDA}[name](xp, x))
        assert not is_capturing()
        graph, y = stream.capture(lambda: x + x)  # the failure is over
        graph.launch()
        stream.synchronize()
    assert (on_host(y) == 2).all()


@without_compiler
def test_nothing_is_computed_while_a_graph_is_captured(xp: Any) -> None:
    x = xp.ones((3, 4), np.float32)
    with GraphStream(xp) as stream:
        stream.capture(lambda: add_in_place(x))
        stream.synchronize()
    assert (on_host(x) == 1).all()


@without_compiler
def test_memory_of_the_launch_before_is_poison_in_the_emulator() -> None:
    xp = library("emulated")
    x = xp.ones((4,), np.float32)
    with GraphStream(xp) as stream:
        graph, y = stream.capture(lambda: empty((4,), np.float32, x))
        y.set(np.ones(4, np.float32))
        graph.launch()
    assert np.isnan(on_host(y)).all()


@without_compiler
def test_a_table_outlives_the_stream_that_asked_for_it_first(xp: Any) -> None:
    table = np.arange(5, dtype=np.int64) + 1234567
    x = xp.zeros(1, np.float32)
    with GraphStream(xp) as stream, stream.own_memory():
        uploaded(table, x)
    del stream
    gc.collect()
    assert (on_host(uploaded(table, x)) == table).all()


@without_compiler
def test_memory_that_outlives_its_pool_is_overwritten_in_the_emulator() -> None:
    xp = library("emulated")
    with GraphStream(xp) as stream, stream.own_memory():
        x = xp.ones(3, np.float32)
    assert (on_host(x) == 1).all()
    del stream
    gc.collect()
    assert np.isnan(on_host(x)).all()
