"""Recorded work: repeated on the same memory it gives what the work itself would give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from minigrad.kernels.cpu.buffers import PrivatePool, allocating_from, channels_last, contiguous, empty
from minigrad.kernels.cpu.plan import Plan
from minigrad.kernels.cpu.recording import Recording, again, spoil
from minigrad.kernels.cpu.rows import span
from minigrad.kernels.cpu.tasks import task_kernel
from minigrad.kernels.cpu.watch import Watch
from minigrad.kernels.errors import KernelError

Work = Callable[[np.ndarray], np.ndarray]


@task_kernel
def _doubled(task, tasks, x, y):  # type: ignore[no-untyped-def]
    for i in range(*span(task, tasks, x.size)):
        y[i] = 2 * x[i]


def doubled(x: np.ndarray, tasks: int = 1) -> np.ndarray:
    y = empty(x.shape, x.dtype)
    _doubled(tasks, x.reshape(-1), y.reshape(-1))
    return y


def record(work: Work, x: np.ndarray) -> tuple[Recording, np.ndarray]:
    pool = PrivatePool()
    with allocating_from(pool), Recording(pool) as recording:
        return recording, work(x)


def assert_repeats(work: Work, shape: tuple[int, ...] = (3, 5)) -> Plan:
    """A plan of `work` gives, for new numbers in the same memory, what `work` gives for them."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal(shape)
    recording, y = record(work, x)
    np.testing.assert_array_equal(y, work(x))
    plan = Plan(recording)
    for _ in range(2):
        x[...] = generator.standard_normal(shape)
        garbage = [np.full(shape, np.nan) for _ in range(50)]  # where memory that was given up would be used again
        plan.launch()
        np.testing.assert_array_equal(y, work(x))
        del garbage
    return plan


@pytest.mark.parametrize("tasks", [1, 2, 7])
def test_a_launch_is_repeated(tasks: int) -> None:
    plan = assert_repeats(lambda x: doubled(x, tasks))
    assert (plan.launches, plan.calls) == (1, 0)


def test_launches_follow_one_another_in_memory_that_is_used_again() -> None:
    plan = assert_repeats(lambda x: doubled(doubled(doubled(doubled(x), 2)), 2), (300, 100))
    assert (plan.launches, plan.calls) == (4, 0)


@pytest.mark.parametrize(
    "work",
    [
        lambda x: again(lambda: x.sum(0)),
        lambda x: doubled(again(lambda: x + 1)),
        lambda x: doubled(again(lambda: x.sum())),
        lambda x: again(lambda: (x.sum(0), [x.max(), None]))[1][0],
        lambda x: doubled(contiguous(x.T)),
    ],
    ids=["an array", "between launches", "a number", "a tuple", "a copy"],
)
def test_what_numpy_computes_is_repeated_where_it_is_asked_to(work: Work) -> None:
    assert_repeats(work)


def test_a_copy_in_another_order_is_repeated() -> None:
    assert_repeats(lambda x: doubled(channels_last(x).transpose(0, 2, 3, 1)), (2, 3, 4, 5))


def test_a_view_needs_no_work() -> None:
    x = np.ones((3, 5))
    recording, y = record(lambda x: again(lambda: x[1:].T, x), x)
    assert not recording.steps
    assert np.shares_memory(x, y)


def test_changes_in_place_are_made_again() -> None:
    x, total = np.ones(3), np.zeros(3)

    def add(x: np.ndarray) -> np.ndarray:
        again(lambda: np.add(total, x, out=total))
        return total

    plan = Plan(record(add, x)[0])
    plan.launch()
    plan.launch()
    np.testing.assert_array_equal(total, 3 * x)


def test_what_cannot_be_repeated_is_said_once_somebody_wants_to() -> None:
    def work(x: np.ndarray) -> np.ndarray:
        spoil("a coin is tossed")
        spoil("and another one")
        return doubled(x)

    recording, y = record(work, np.ones(3))
    np.testing.assert_array_equal(y, [2, 2, 2])
    with pytest.raises(KernelError, match=r"cannot be captured, .*: a coin is tossed"):
        Plan(recording)


def test_a_recording_does_not_begin_inside_another_one() -> None:
    with pytest.raises(KernelError, match="inside another one"):
        record(lambda x: record(doubled, x)[1], np.ones(3))
    assert record(doubled, np.ones(3))[0].steps  # and the failure left none behind


def test_nothing_is_recorded_outside_of_one() -> None:
    recording, _ = record(doubled, np.ones(3))
    doubled(np.ones(3))
    again(lambda: np.ones(3))
    spoil("nobody cares")
    assert len(recording.steps) == 1
    assert not recording.trouble


@pytest.mark.parametrize("position", [0, 70_000, -1])
def test_a_watch_sees_a_change_of_any_element(position: int) -> None:
    arrays = [np.arange(100_000, dtype=np.float32), np.ones((), np.int64), np.empty(0, np.float32)]
    watch = Watch(arrays)
    assert not watch.sees_change()
    before = arrays[0][position]
    arrays[0][position] = np.nextafter(before, np.float32(np.inf))
    assert watch.sees_change()
    arrays[0][position] = before
    assert not watch.sees_change()
    arrays[1][...] = 2
    assert watch.sees_change()


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.float16])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_a_watch_sees_what_lies_behind_the_last_whole_word(dtype: type, count: int) -> None:
    for array in (np.zeros(count, dtype), np.zeros(2 * count, dtype)[::2]):
        watch = Watch([np.ones(3, np.float32), array])
        assert not watch.sees_change()
        for position in range(count):
            array[position] = 1
            assert watch.sees_change()
            array[position] = 0
            assert not watch.sees_change()
