"""How hypothesis searches: the same examples at each run; more and new ones with HYPOTHESIS_PROFILE=explore."""

import os

from hypothesis import HealthCheck, settings

# No deadline: the first call of a kernel compiles it.
common = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeat", max_examples=15, derandomize=True, **common)
settings.register_profile("explore", max_examples=400, print_blob=True, **common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))
