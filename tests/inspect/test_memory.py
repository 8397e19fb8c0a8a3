"""The memory tracker follows results from their making to their end."""

import minigrad as mg

MEGABYTE = 250_000  # elements of float32 in a million bytes


def test_live_bytes_rise_and_fall() -> None:
    x = mg.ones(MEGABYTE)
    with mg.track_memory() as memory:
        y = x + 1.0
        z = y * 2.0
        assert memory.live == 2_000_000
        del y
        assert memory.live == 1_000_000
        z = z + 1.0
        assert memory.live == 1_000_000 and memory.peak == 2_000_000
        assert memory.allocated == {"add": 2_000_000, "multiply": 1_000_000}
    del z
    assert memory.live == 0


def test_the_peak_says_who_held_it() -> None:
    x = mg.ones(MEGABYTE)
    with mg.track_memory() as memory:
        y = x + 1.0
        z = mg.concat([y, y])
        del z
        small = mg.sum(y)
    assert memory.live_at_peak == {"add": 1_000_000, "Concat": 2_000_000}
    assert small.item() == 2 * MEGABYTE


def test_views_and_inputs_count_for_nothing() -> None:
    x = mg.ones((5, MEGABYTE // 5))
    with mg.track_memory() as memory:
        y = x.reshape(-1)[10:]
    assert memory.live == memory.peak == 0 and not memory.allocated
    del y


def test_gradients_count_for_the_operation_they_go_back_over() -> None:
    x = mg.ones(MEGABYTE, requires_grad=True)
    with mg.track_memory() as memory:
        mg.exp(x).sum().backward()
    assert memory.allocated["exp backward"] >= 1_000_000
    assert memory.live == 1_000_000  # the gradient of x


def test_the_table_lists_operations_and_the_whole() -> None:
    x = mg.ones(MEGABYTE)
    with mg.track_memory() as memory:
        y = x + 1.0
        z = mg.concat([y, y])
    lines = [line.split() for line in memory.table().splitlines()]
    assert lines[0] == ["operation", "allocated", "MB", "live", "at", "peak", "MB"]
    assert lines[1:] == [["Concat", "2.00", "2.00"], ["add", "1.00", "1.00"], ["total", "3.00", "3.00"]]
    del z
