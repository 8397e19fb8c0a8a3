"""Layers and variants to rows: first what is right, then how fast it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from minigrad.kernels.cuda.counts import total
from minigrad.kernels.cuda.emulation import counted
from minigrad.kernels.cuda.launch import CudaKernel, launch_listeners
from minigrad.kernels.errors import KernelError
from minigrad.kernels.registry import Variant

from .case import LAYOUTS, Case
from .check import Errors, WrongError, check, tolerance_of
from .contracts import CONTRACTS, Contract
from .layers import Layer
from .odd import odd_problems
from .pytorch import torch_call
from .roofline import Ceilings
from .rows import Row
from .timing import Clock, CpuClock, GpuClock, Runner, measure

PYTORCH, REFERENCE = "PyTorch", "reference"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        device, dtype: of the arrays.
        variants: the names of those to measure; empty for all.
        seconds: for which each variant of each layer is timed.
        warm: leave the arguments in the cache.
        seed: of all random arguments and odd problems.
        odd: how many odd problems each variant must pass first.
        tolerance: relative norm of the error that is allowed; None for that of the dtype.
        with_pytorch: time PyTorch, too, where it is installed.
        hopeless: how many times as long as the fastest a variant may take in the first two rounds to be timed on.
        checked_images: a batch of so many is compared with the oracle in place of the layer's, which is then only
            timed; quicker by far where batches are large. 0: all of them, while they are timed, too.
    """

    device: str = "cpu"
    dtype: str = "float32"
    variants: tuple[str, ...] = ()
    seconds: float = 0.3
    warm: bool = False
    seed: int = 0
    odd: int = 6
    tolerance: float | None = None
    with_pytorch: bool = True
    hopeless: float = math.inf
    checked_images: int = 0


class Session:
    """Measures one operation after the other.

    Args:
        ceilings: of the device; None for the emulator, where nothing is timed.
        progress: is told what is being done.
        clock: what times; by default the device's own.
    """

    def __init__(
        self,
        settings: Settings,
        ceilings: Ceilings | None,
        progress: Progress = lambda words: None,
        clock: Clock | None = None,
    ) -> None:
        self.settings, self.ceilings, self.progress = settings, ceilings, progress
        self._clock = clock
        if ceilings is not None and clock is None:
            self._clock = GpuClock() if settings.device == "cuda" else CpuClock()

    def variants(self, contract: Contract) -> list[Variant]:
        """The variants of an operation that are asked for and run on the device.

        Raises:
            KernelError: if there is none.
        """
        wanted, operation = self.settings.variants, contract.operation
        chosen = [
            variant
            for variant in operation.variants.values()
            if variant.runs_on(self.settings.device) and (not wanted or variant.name in wanted)
        ]
        if not chosen:
            names = ", ".join(v.name for v in operation.variants.values() if v.runs_on(self.settings.device))
            raise KernelError(
                f"{operation.name} has no variant {' or '.join(wanted) or 'at all'} on {self.settings.device}; "
                f"there: {names or 'none'}"
            )
        return chosen

    def measure(self, layers: Sequence[Layer]) -> Iterator[list[Row]]:
        """The rows of each layer of one operation, those of the odd problems first.

        Raises:
            KernelError: if no variant runs the layers.
        """
        contract = CONTRACTS[layers[0].operation]
        variants = self.variants(contract)
        faulty: set[str] = set()
        if self.settings.odd:
            rows = self._odd_rows(contract, variants)
            faulty = {row.variant for row in rows if row.verdict == "wrong"}
            yield rows
        for layer in layers:
            yield self._layer_rows(contract, layer, variants, faulty)

    def _generator(self, *words: object) -> np.random.Generator:
        """Random numbers of the seed's for one purpose, the same whatever else is measured."""
        return np.random.default_rng([self.settings.seed, *" ".join(map(str, words)).encode()])

    def _tolerance(self, variant: Variant) -> float:
        given = self.settings.tolerance
        return tolerance_of(variant.name, self.settings.dtype) if given is None else given

    def _odd_rows(self, contract: Contract, variants: Sequence[Variant]) -> list[Row]:
        """A row for each variant: its errors on odd problems in every layout, or the first that it gets wrong."""
        name = f"odd shapes ({self.settings.odd} problems)"
        rows = {
            v.name: Row(contract.operation.name, name, name, (), v.name, self.settings.device, self.settings.dtype)
            for v in variants
        }
        errors = {variant.name: Errors() for variant in variants}
        ran: set[str] = set()
        generator = self._generator(contract.operation.name)
        problems = odd_problems(contract, self.settings.dtype, generator, self.settings.odd)
        for number, problem in enumerate(problems):
            layout = LAYOUTS[number % len(LAYOUTS)]
            optional = bool(generator.integers(2))
            case = Case(contract, problem, self.settings.device, generator, 2, layout, optional)
            for variant in variants:
                if variant.obstacle(problem, self.settings.device) is not None:
                    continue
                self.progress(f"{contract.operation.name}: odd shape {number + 1}, {variant.name}")
                ran.add(variant.name)
                if rows[variant.name].verdict == "wrong":
                    continue
                try:
                    found = check(variant.function, case, self._tolerance(variant))
                    errors[variant.name] = errors[variant.name].worst(found)
                except WrongError as error:
                    reason = f"on {problem}, arrays {layout.replace('_', ' ')}: {error}"
                    rows[variant.name] = replace(rows[variant.name], verdict="wrong", reason=reason)
        return [
            _with_errors(rows[v.name], errors[v.name])
            if v.name in ran
            else replace(rows[v.name], verdict="refuses", reason="all of these problems")
            for v in variants
        ]

    def _layer_rows(
        self, contract: Contract, layer: Layer, variants: Sequence[Variant], faulty: set[str]
    ) -> list[Row]:
        device, problem = self.settings.device, layer.problem
        obstacles = {variant.name: variant.obstacle(problem, device) for variant in variants}
        able = [variant for variant in variants if obstacles[variant.name] is None]
        blank = Row(
            contract.operation.name, layer.name, str(problem), layer.paths, "", device, self.settings.dtype,
            "warm" if self.settings.warm else "cold",
        )  # fmt: skip
        refusals = [
            replace(blank, variant=name, verdict="refuses", reason=reason)
            for name, reason in obstacles.items()
            if reason is not None and (self.settings.variants or not able)
        ]
        if not able:
            return refusals
        self.progress(f"{layer.name}: the oracle")
        checked, case = self._cases(contract, problem, able)
        blank = replace(blank, work=contract.work(problem), bytes_moved=case.bytes_moved)
        rows, runners = [], []
        for variant in able:
            self.progress(f"{layer.name}: checking {variant.name}")
            row = self._checked(replace(blank, variant=variant.name), variant, checked)
            if row.verdict == "right" and variant.name in faulty:
                row = replace(row, reason="not timed, because it is wrong on odd shapes")
            elif row.verdict == "right":
                runners.append(_runner(variant, case, self._tolerance(variant)))
            rows.append(row)
        if self.ceilings is not None:
            rows = self._timed(rows, runners, able, checked, case, layer.name)
        return rows + refusals

    def _cases(self, contract: Contract, problem: Any, able: Sequence[Variant]) -> tuple[Case, Case]:
        """What variants are checked on and what they are timed on: the same, or the first is of fewer images."""
        device, few = self.settings.device, contract.at_batch(problem, self.settings.checked_images)
        generator = self._generator(contract.operation.name, problem)
        alone = self.settings.checked_images == 0 or self.ceilings is None or few == problem
        if alone or any(variant.obstacle(few, device) is not None for variant in able):
            case = Case(contract, problem, device, generator)
            return case, case
        return Case(contract, few, device, generator), Case(contract, problem, device, generator, judged=False)

    def _checked(self, row: Row, variant: Variant, case: Case) -> Row:
        with counted_launches() as launches:
            try:
                errors = check(variant.function, case, self._tolerance(variant))
            except WrongError as error:
                return replace(row, verdict="wrong", reason=f"on {case.problem}: {error}")
        row = _with_errors(row, errors)
        if row.device != "emulated":
            return row
        calls = 3  # that `check` makes
        self.progress(f"{row.layer}: counting {variant.name}")
        case.restore(0)
        with counted() as counts:
            variant.function(case.problem, *case.sets[0].values())
        found = asdict(total(counts)) if counts else {}
        return replace(row, launches=tuple(launches[: len(launches) // calls]), counts=found)

    def _timed(
        self,
        rows: list[Row],
        runners: list[Runner],
        able: Sequence[Variant],
        checked: Case,
        case: Case,
        name: str,
    ) -> list[Row]:
        """The rows with times, and one for PyTorch; what is wrong while it is timed, or after, has no time."""
        assert self._clock is not None
        if self.settings.with_pytorch and runners:
            calls = [torch_call(case.contract, case.problem, given) for given in case.sets]
            if all(calls):
                runners = [*runners, Runner(PYTORCH, lambda number: calls[number]())]  # type: ignore[misc]
        measure(
            runners, case, self._clock, self.settings.seconds, self.settings.warm, self._generator("samples"),
            lambda variant: self.progress(f"{name}: timing {variant}"), self.settings.hopeless,
        )  # fmt: skip
        for runner in runners:
            variant = next((v for v in able if v.name == runner.name), None)
            if variant is None or runner.failed or runner.given_up:
                continue
            try:
                check(variant.function, checked, self._tolerance(variant))
            except WrongError as error:
                runner.failed = f"after it was timed: {error}"
        by_name = {runner.name: runner for runner in runners}
        if PYTORCH in by_name:
            rows = [*rows, replace(rows[0], variant=PYTORCH, verdict="yardstick", reason="", largest_error=None,
                                   norm_error=None, tolerance_used=None)]  # fmt: skip
        return [self._with_time(row, by_name) for row in rows]

    def _with_time(self, row: Row, runners: dict[str, Runner]) -> Row:
        own = runners.get(row.variant)
        if own is None:
            return row
        if own.failed:
            return replace(row, verdict="wrong", reason=f"on {row.problem}: {own.failed}")
        assert self.ceilings is not None
        timing = own.timing

        def over(name: str) -> float | None:
            other = runners.get(name)
            ok = other is not None and other is not own and not other.failed
            return other.timing.median / timing.median if ok and other else None

        ours = [r for name, r in runners.items() if name != PYTORCH and not r.failed]
        fastest = min(ours, key=lambda runner: runner.timing.median, default=own)
        standing = "fastest" if own is fastest else "equal" if timing.overlaps(fastest.timing) else ""
        return replace(
            row,
            median_ms=1e3 * timing.median,
            p20_ms=1e3 * timing.quantile(0.2),
            p80_ms=1e3 * timing.quantile(0.8),
            rounds=len(own.seconds),
            roofline=self.ceilings.least_seconds(row.work, row.bytes_moved) / timing.median,
            side=self.ceilings.side(row.work, row.bytes_moved),
            over_reference=over(REFERENCE),
            over_pytorch=over(PYTORCH),
            standing="" if row.variant == PYTORCH else standing,
        )


def _runner(variant: Variant, case: Case, tolerance: float) -> Runner:
    def run(number: int) -> Any:
        return variant.function(case.problem, *case.sets[number].values())

    return Runner(variant.name, run, tolerance)


def _with_errors(row: Row, errors: Errors) -> Row:
    if row.verdict == "wrong":
        return row
    return replace(row, largest_error=errors.largest, norm_error=errors.norm, tolerance_used=errors.used)


@contextmanager
def counted_launches() -> Iterator[list[str]]:
    """The launches of CUDA kernels inside this `with` block, in words."""
    launches: list[str] = []

    def note(kernel: CudaKernel, grid: tuple[int, ...], block: tuple[int, ...], shared_bytes: int) -> None:
        sizes = ("x".join(str(n) for n in _trimmed(size)) for size in (grid, block))
        shared = f", {shared_bytes} bytes shared" if shared_bytes else ""
        launches.append("{} {} blocks of {} threads{}".format(kernel.name, *sizes, shared))

    launch_listeners.append(note)
    try:
        yield launches
    finally:
        launch_listeners.remove(note)


def _trimmed(size: tuple[int, ...]) -> tuple[int, ...]:
    """Without the ones at the end."""
    while len(size) > 1 and size[-1] == 1:
        size = size[:-1]
    return size
