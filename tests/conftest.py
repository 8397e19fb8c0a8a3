"""How hypothesis searches: the same examples at each run; more and new ones with HYPOTHESIS_PROFILE=explore.

MINIGRAD_GPU_TESTS=stand-in runs the tests that need a GPU (pytest -m gpu) on a stand-in for CuPy, with the kernels
in the emulator: not a proof of anything on a GPU, but of the tests.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# No deadline: the first call of a kernel compiles it.
common = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeat", max_examples=15, derandomize=True, **common)
settings.register_profile("explore", max_examples=400, print_blob=True, **common)
if os.environ.get("MINIGRAD_GPU_TESTS") == "stand-in":
    from claims import fake_cupy

    fake_cupy.install()

# What was measured on this machine must not decide what a test sees.
from claims.memory import give_memory_back  # noqa: E402
from minigrad.kernels.registry import use_tuned  # noqa: E402
from minigrad.kernels.tuned import Tuned  # noqa: E402

use_tuned(Tuned())


@pytest.fixture(autouse=True, scope="module")
def memory_goes_back() -> Iterator[None]:
    """What a file's tests have freed is free for others."""
    yield
    give_memory_back()


settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))
