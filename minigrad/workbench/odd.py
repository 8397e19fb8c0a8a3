"""Small problems with awkward shapes: odd sizes, single rows, channels that fit no vector, every parameter.

Hypothesis draws them from the strategies of the contracts, and makes a problem on which a variant is wrong simpler
for as long as it stays wrong: the row tells of the smallest. This is no test function under `@given`, but a search
by `hypothesis.find` for each problem to be tried:

- A search tries one random problem. In a longer one, later problems are mutations of earlier ones: fine among
  thousands, but not among six. Each search has another layout of the arrays.
- The simplest problem of all, with which hypothesis always begins, is left out. Its result may be a single number,
  a sum that happens to be near zero, and an error relative to that says nothing.
- What a variant refuses hypothesis draws again, so that each one is tried on what it claims. The draws are the
  same for all variants.
- A verdict is remembered: one that chance or time decided stays as it is, and hypothesis does not meet two.
- There is no database of examples, no deadline and no health check. What hypothesis keeps of source files goes
  to the cache, and not to a folder `.hypothesis` where the user stands.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.errors import NoSuchExample, Unsatisfiable
from hypothesis.strategies import SearchStrategy, booleans, just, tuples

from minigrad.kernels.variant import Variant

from .case import LAYOUTS, Case
from .check import Errors, WrongError, check
from .contracts import Contract
from .rows import Row
from .settings import Settings

PATIENCE = 5.0  # seconds for which hypothesis makes what is wrong smaller
SEARCH = hypothesis.settings(
    max_examples=1,
    phases=(Phase.generate, Phase.shrink),
    database=None,
    deadline=None,
    derandomize=False,
    suppress_health_check=list(HealthCheck),
)

Drawn = tuple[Any, bool]  # a problem, and whether its optional arguments are given


class Trials:
    """What becomes of one variant on problems, each of which it is given once.

    Attributes:
        ran: whether it ran any of them.
        errors: the worst of those that it got right.
    """

    def __init__(self, contract: Contract, variant: Variant, settings: Settings) -> None:
        self.contract, self.variant, self.settings = contract, variant, settings
        self.ran = False
        self.errors = Errors()
        self._reasons: dict[tuple[Drawn, str], str | None] = {}
        self._until = math.inf
        self._trouble: Exception | None = None

    def refuses(self, problem: Any) -> bool:
        return self.variant.obstacle(problem, self.settings.device) is not None

    def reason(self, drawn: Drawn, layout: str) -> str | None:
        """Why the variant is wrong, or None."""
        key = drawn, layout
        if key not in self._reasons and time.monotonic() < self._until:
            self._reasons[key] = self._tried(drawn, layout)
            if self._reasons[key] is not None:
                self._until = min(self._until, time.monotonic() + PATIENCE)
        return self._reasons.get(key)

    def _tried(self, drawn: Drawn, layout: str) -> str | None:
        problem, optional = drawn
        generator = self.settings.generator(self.contract.operation.name, problem, layout)
        case = Case(self.contract, problem, self.settings.device, generator, 2, layout, optional)
        self.ran = True
        try:
            errors = check(self.variant.function, case, self.settings.allowed(self.variant))
        except WrongError as error:
            return str(error)
        self.errors = self.errors.worst(errors)
        return None

    def smallest_wrong(self, problems: SearchStrategy[Drawn], layout: str, seed: str) -> Drawn | None:
        """The simplest problem that hypothesis finds on which the variant is wrong."""

        simplest: list[Drawn] = []

        def wrong(drawn: Drawn) -> bool:
            simplest.append(drawn) if not simplest else None
            if self._trouble is not None:
                return False
            try:
                left_out = drawn == simplest[0] or self.refuses(drawn[0])
                found = not left_out and self.reason(drawn, layout) is not None
            except Exception as error:  # not the variant's, and nothing to be made smaller
                self._trouble = error
                return False
            hypothesis.assume(not left_out)
            return found

        try:
            return hypothesis.find(problems, wrong, settings=SEARCH, random=Random(seed))
        except (NoSuchExample, Unsatisfiable):
            if self._trouble is not None:
                raise self._trouble from None
            return None


def odd_row(
    contract: Contract, variant: Variant, settings: Settings, progress: Callable[[str], None] = lambda words: None
) -> Row:
    """A variant's errors on odd problems in every layout; or the simplest problem that it gets wrong."""
    name, operation = f"odd shapes ({settings.odd} problems)", contract.operation.name
    row = Row(operation, name, name, (), variant.name, settings.device, settings.dtype)
    typed = contract.odd.map(lambda problem: replace(problem, dtype=settings.dtype))
    problems = tuples(typed, booleans() if contract.optional else just(False))
    trials = Trials(contract, variant, settings)
    with _files_of_hypothesis_in_the_cache():
        for number in range(settings.odd):
            progress(f"{operation}: odd shape {number + 1}, {variant.name}")
            layout = LAYOUTS[number % len(LAYOUTS)]
            found = trials.smallest_wrong(problems, layout, f"{settings.seed} {operation} {number}")
            if found is not None:
                simplest = next(one for one in (*LAYOUTS, layout) if trials.reason(found, one) is not None)
                reason = f"on {found[0]}, arrays {simplest.replace('_', ' ')}: {trials.reason(found, simplest)}"
                return replace(row, verdict="wrong", reason=reason)
    if not trials.ran:
        return replace(row, verdict="refuses", reason="all of these problems")
    return row.with_errors(trials.errors)


def odd_rows(
    contract: Contract,
    variants: Sequence[Variant],
    settings: Settings,
    progress: Callable[[str], None] = lambda words: None,
) -> list[Row]:
    """A row for each variant; see `odd_row`."""
    return [odd_row(contract, variant, settings, progress) for variant in variants]


@contextmanager
def _files_of_hypothesis_in_the_cache() -> Iterator[None]:
    """Inside this `with` block, hypothesis keeps its files in the user's cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    set_hypothesis_home_dir(home / "minigrad" / "hypothesis")
    try:
        yield
    finally:
        set_hypothesis_home_dir(None)
