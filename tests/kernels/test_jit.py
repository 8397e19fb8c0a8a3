"""The number of threads of the CPU kernels."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels.errors import MinigradError

MOST = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [0, -1, MOST + 1, 1.0, "1", None, True, float("nan")])
def test_a_number_of_threads_that_cannot_be_is_refused_and_changes_nothing(count: Any) -> None:
    before = mg.get_num_threads()
    for kind in (MinigradError, ValueError):
        with pytest.raises(kind, match="number of threads must be an integer between 1 and") as caught:
            mg.set_num_threads(count)
        assert str(caught.value).endswith(repr(count))
    assert mg.get_num_threads() == before


@pytest.mark.parametrize("count", [1, MOST, np.int64(1)])
def test_a_number_of_threads_that_can_be_holds(count: int) -> None:
    before = mg.get_num_threads()
    try:
        mg.set_num_threads(count)
        assert mg.get_num_threads() == count
    finally:
        mg.set_num_threads(before)
