"""Layers and variants to rows: first what is right, then how fast it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from minigrad.kernels.cuda.counts import total
from minigrad.kernels.cuda.emulation import counted
from minigrad.kernels.errors import KernelError, MinigradError
from minigrad.kernels.variant import Variant

from .case import Case
from .check import WrongError, check, run
from .contracts import CONTRACTS, Contract
from .launches import counted_launches
from .layers import Layer
from .odd import odd_rows
from .pytorch import torch_call
from .roofline import Ceilings
from .rows import Row
from .settings import Settings
from .timing import Clock, CpuClock, GpuClock, Runner, measure

PYTORCH, REFERENCE = "PyTorch", "reference"
Progress = Callable[[str], None]


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
            rows = odd_rows(contract, variants, self.settings, self.progress)
            faulty = {row.variant for row in rows if row.verdict == "wrong"}
            yield rows
        for layer in layers:
            yield self._layer_rows(contract, layer, variants, faulty)

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
                runners.append(_runner(variant, case, self.settings.allowed(variant)))
            rows.append(row)
        if self.ceilings is not None:
            rows = self._timed(rows, runners, able, checked, case, layer.name)
        return rows + refusals

    def _cases(self, contract: Contract, problem: Any, able: Sequence[Variant]) -> tuple[Case, Case]:
        """What variants are checked on and what they are timed on: the same, or the first is of fewer images."""
        device, few = self.settings.device, contract.at_batch(problem, self.settings.checked_images)
        generator = self.settings.generator(contract.operation.name, problem)
        alone = self.settings.checked_images == 0 or self.ceilings is None or few == problem
        if alone or any(variant.obstacle(few, device) is not None for variant in able):
            case = Case(contract, problem, device, generator)
            return case, case
        return Case(contract, few, device, generator), Case(contract, problem, device, generator, judged=False)

    def _checked(self, row: Row, variant: Variant, case: Case) -> Row:
        with counted_launches() as launches:
            try:
                errors = check(variant.function, case, self.settings.allowed(variant))
            except WrongError as error:
                return replace(row, verdict="wrong", reason=f"on {case.problem}: {error}")
        row = row.with_errors(errors)
        if row.device != "emulated":
            return row
        calls = 3  # that `check` makes
        self.progress(f"{row.layer}: counting {variant.name}")
        case.restore(0)
        with counted() as counts:
            run(variant.function, case, 0)
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
        yardstick = None
        if self.settings.with_pytorch and runners:
            yardstick, own = self._pytorch(rows[0], case)
            runners = [*runners, *own]
        settings = self.settings
        measure(
            runners, case, self._clock, settings.seconds, settings.warm, settings.generator("samples"),
            lambda variant: self.progress(f"{name}: timing {variant}"), settings.hopeless,
        )  # fmt: skip
        for runner in runners:
            variant = next((v for v in able if v.name == runner.name), None)
            if variant is None or runner.failed or runner.given_up:
                continue
            try:
                check(variant.function, checked, self.settings.allowed(variant))
            except WrongError as error:
                runner.failed = f"after it was timed: {error}"
        by_name = {runner.name: runner for runner in runners}
        rows = [*rows, yardstick] if yardstick is not None else rows
        return [self._with_time(row, by_name) for row in rows]

    def _pytorch(self, row: Row, case: Case) -> tuple[Row | None, list[Runner]]:
        """PyTorch's row beside `row`, and what is timed for it; neither where it has no such operation."""
        row = replace(row, variant=PYTORCH, verdict="yardstick", reason="", largest_error=None, norm_error=None,
                      tolerance_used=None)  # fmt: skip
        try:
            calls = [torch_call(case.contract, case.problem, given) for given in case.sets]
        except MinigradError as error:
            return replace(row, reason=str(error)), []
        if not all(calls):
            return None, []
        return row, [Runner(PYTORCH, lambda number: calls[number]())]  # type: ignore[misc]

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
    return Runner(variant.name, lambda number: run(variant.function, case, number), tolerance)
