from collections.abc import Iterator

import pytest

from claims.memory import give_memory_back


@pytest.fixture(autouse=True)
def memory_goes_back_at_once() -> Iterator[None]:
    """Each of these tests holds whole networks in float64."""
    give_memory_back()
    yield
    give_memory_back()
