"""Named variants of each op, and how one of them is chosen.

An `Operation` is a contract with several implementations. Calling it with a problem and raw
arrays picks one variant: the one a person asked for, or else the one with the highest
priority among those that can run the problem on the arrays' device.

    forward = Operation("conv2d_forward")

    @forward.variant("winograd", device="cpu", priority=20, refuses=only_3x3)
    def winograd(problem, x, weight, bias): ...

    with use_kernels(conv2d_forward="winograd"):
        y = forward(problem, x, weight, bias)

What was measured on this machine (`minigrad bench OP --autotune`) goes before priorities, where nobody asks for a
variant by name; `"untuned"` in the place of a name, as in MINIGRAD_KERNELS=untuned, goes by priorities alone.

A variant asked for by name that cannot run raises and says why; nothing falls back silently.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Hashable, Mapping
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any, TypeVar

from .arrays import device_of
from .cpu.jit import get_num_threads, thread_listeners
from .errors import KernelError
from .tuned import Choice as Measured
from .tuned import Tuned, default_path, load
from .variant import DEVICES, Variant

Implementation = TypeVar("Implementation", bound=Callable[..., Any])
Function = TypeVar("Function", bound=Callable[..., Any])
Choice = tuple[str, ...]

OPERATIONS: dict[str, Operation] = {}
ENVIRONMENT_VARIABLE = "MINIGRAD_KERNELS"
AUTO, UNTUNED = "auto", "untuned"  # in the place of a variant's name: the default choice, with and without tuning


class Operation:
    """A kernel contract by name, with its variants.

    `family` groups the operations of one op, so that `use_kernels(conv2d="reference")` can speak of its
    forward and both its gradients at once.
    """

    def __init__(self, name: str, family: str | None = None) -> None:
        self.name = name
        self.family = family or name
        self.variants: dict[str, Variant] = {}
        self._selected: dict[tuple[Hashable, str, Choice], Variant] = {}
        OPERATIONS[name] = self

    def variant(
        self,
        name: str,
        device: str,
        priority: int | Callable[[Any], int] = 0,
        refuses: Callable[[Any], str | None] = lambda problem: None,
        only_launches: bool = False,
        unavailable: Callable[[], str | None] = lambda: None,
    ) -> Callable[[Implementation], Implementation]:
        """Decorator that adds an implementation under `name`; device is "cpu", "cuda" or "any". See `Variant`."""

        def register(function: Implementation) -> Implementation:
            if device not in DEVICES:
                known = ", ".join(DEVICES)
                raise KernelError(f"{self.name}: the device of variant {name!r} is one of {known}; not {device!r}")
            if name in (AUTO, UNTUNED) or name in self.variants:
                raise KernelError(f"{self.name}: the variant name {name!r} is taken")
            self.variants[name] = Variant(
                name, device, function, refuses, priority, only_launches=only_launches, unavailable=unavailable
            )
            self._selected.clear()
            return function

        return register

    def asked_for(self) -> Choice | None:
        """The variants that somebody asked for by name, best first; None if nobody did."""
        return _chosen.get().get(self.name) or default_choices().get(self.name)

    def select(self, problem: Hashable, device: str) -> Variant:
        """The variant that will run `problem` on `device`."""
        choice = self.asked_for() or (AUTO,)
        key = (problem, device, choice)
        selected = self._selected.get(key)
        if selected is None:
            selected = self._selected[key] = self._select(problem, device, choice)
        return selected

    def able(self, problem: Hashable, device: str) -> list[Variant]:
        """Every variant that can run `problem` on `device`, best first."""
        able = [v for v in self.variants.values() if v.obstacle(problem, device) is None]
        return sorted(able, key=lambda variant: -variant.rank(problem))

    def _select(self, problem: Hashable, device: str, choice: Choice) -> Variant:
        able = self.able(problem, device)
        obstacles = []
        for name in choice:
            anything = name in (AUTO, UNTUNED)
            offered = [variant for variant in able if variant.rank(problem) >= 0]
            if anything and offered:
                return (self._tuned(problem, device, offered) if name == AUTO else None) or offered[0]
            for tried in self.variants if anything else (name,):
                obstacle = self.variants[tried].obstacle(problem, device)
                if obstacle is None:
                    return self.variants[tried]
                obstacles.append(f"variant {tried!r} cannot run {problem}: {obstacle}")
        reason = "; ".join(obstacles) or f"no variant runs {problem} on {device}"
        names = ", ".join(variant.name for variant in able) or "none"
        raise KernelError(f"{self.name}: {reason} (variants that can: {names})")

    def _tuned(self, problem: Hashable, device: str, able: list[Variant]) -> Variant | None:
        """The fastest variant by measurement; None where nothing was measured, or it is not there any more."""
        winner = tuned().variant(device, self.name, problem, get_num_threads())
        return next((variant for variant in able if variant.identity == winner), None)

    def __call__(self, problem: Hashable, *arrays: Any, **options: Any) -> Any:
        first = arrays[0][0] if isinstance(arrays[0], list | tuple) else arrays[0]
        return self.select(problem, device_of(first))(problem, *arrays, **options)

    def __repr__(self) -> str:
        return f"Operation({self.name!r}, variants={list(self.variants)})"


_chosen: ContextVar[Mapping[str, Choice]] = ContextVar("minigrad_kernels", default=MappingProxyType({}))


def parse_choices(text: str, source: str) -> dict[str, Choice]:
    """`"conv2d=winograd|auto,concat=reference"` as a mapping; `source` names the text in errors."""
    choices: dict[str, Choice] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, variants = item.partition("=")
        if not equals:
            name, variants = "all", item
        if not variants.strip():
            raise KernelError(f"{source}: {item!r} names no variant; write OP=VARIANT, as in conv2d=reference")
        choices[name.strip()] = tuple(variant.strip() for variant in variants.split("|"))
    return choices


def resolve(choices: Mapping[str, str | Choice], source: str = "use_kernels") -> dict[str, Choice]:
    """Expand families and "all" to single operations, and refuse names that do not exist."""
    resolved: dict[str, Choice] = {}
    for name, given in choices.items():
        choice = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, tuple | list) else ()
        if not choice or not all(isinstance(variant, str) for variant in choice):
            raise KernelError(f"{source}: {name} must name a variant, or be a tuple of names, got {given!r}")
        operations = [op for op in OPERATIONS.values() if name in ("all", op.family, op.name)]
        if not operations:
            known = ", ".join(sorted({op.family for op in OPERATIONS.values()} | OPERATIONS.keys()))
            raise KernelError(f"{source}: there is no operation {name!r}; there are: {known}")
        for variant in choice:
            if variant not in (AUTO, UNTUNED) and not any(variant in op.variants for op in operations):
                known = ", ".join(sorted({v for op in operations for v in op.variants}))
                raise KernelError(
                    f"{source}: {name} has no variant {variant!r}; it has: {known}, {AUTO}, {UNTUNED}"
                )
        for op in operations:
            # Within a family, an operation that has no variant of that name keeps its own choice.
            available = tuple(v for v in choice if v in (AUTO, UNTUNED, *op.variants))
            if available:
                resolved[op.name] = available
    return resolved


class ChosenKernels(ContextDecorator):
    """Choices that hold inside a `with` block, or in the function that they decorate; made by `use_kernels`."""

    def __init__(self, choices: Mapping[str, Choice]) -> None:
        self._choices = choices
        self._used = False
        self._tokens: list[Token[Mapping[str, Choice]]] = []

    def __enter__(self) -> None:
        self._used = True
        self._tokens.append(_chosen.set({**_chosen.get(), **self._choices}))

    def __exit__(self, *error: object) -> None:
        _chosen.reset(self._tokens.pop())

    def __call__(self, function: Function) -> Function:
        self._used = True
        return super().__call__(function)

    def _recreate_cm(self) -> ChosenKernels:
        return ChosenKernels(self._choices)  # one for each call of a decorated function, in whatever thread

    def __del__(self) -> None:
        if not self._used:
            message = "use_kernels(...) without `with` changes nothing; write `with use_kernels(...):`"
            warnings.warn(message, RuntimeWarning, stacklevel=2)


def use_kernels(everything: str | Choice | None = None, /, **choices: str | Choice) -> ChosenKernels:
    """Choose kernel variants by name inside a `with` block.

    Args:
        everything: a variant for every operation that has one of that name, such as `"reference"`.
        choices: operation or family = variant, or a tuple of variants in order of preference, where
            `"auto"` stands for the default choice: `use_kernels(conv2d=("winograd", "auto"))`, and `"untuned"` for
            the default choice without regard to what was measured on this machine.

    Raises:
        KernelError: at once where a name does not exist or is none; at the call where the variant cannot run.
    """
    requested: dict[str, str | Choice] = dict(choices)
    if everything is not None:
        requested = {"all": everything, **requested}
    return ChosenKernels(resolve(requested))


@functools.cache
def default_choices() -> dict[str, Choice]:
    """The choices that hold for the whole program, unless `use_kernels` says otherwise.

    They start as MINIGRAD_KERNELS has them, which is read when the first kernel is chosen: by then every operation
    has been registered.

    Raises:
        KernelError: if the variable names an operation or a variant that does not exist.
    """
    text = os.environ.get(ENVIRONMENT_VARIABLE, "")
    return resolve(parse_choices(text, f"${ENVIRONMENT_VARIABLE}"), f"${ENVIRONMENT_VARIABLE}")


def set_default_kernels(text: str, source: str) -> None:
    """Choose variants for the rest of the program, in the syntax of the flag and the environment variable.

    Raises:
        KernelError: if `text` names what does not exist; the sentence begins with `source`.
    """
    default_choices().update(resolve(parse_choices(text, source), source))


@functools.cache
def _tuned_on_disk() -> Tuned:
    found = load(default_path())
    if found.trouble:
        warnings.warn(found.trouble, RuntimeWarning, stacklevel=2)
    return found


_tuned: Tuned | None = None  # None: what is on disk


def tuned() -> Tuned:
    """What was measured on this machine, as every choice of this program has it."""
    return _tuned_on_disk() if _tuned is None else _tuned


def tuned_in_use(device: str) -> list[Measured]:
    """The measured choices for `device` and the present number of threads, where nobody chose by name."""
    threads = get_num_threads() if device == "cpu" else 0
    return [
        choice
        for choice in tuned().choices.values()
        if (choice.device, choice.threads) == (device, threads)
        and choice.operation in OPERATIONS
        and AUTO in (OPERATIONS[choice.operation].asked_for() or (AUTO,))
    ]


def use_tuned(choices: Tuned | None) -> None:
    """Let `choices` hold for the rest of the program; None stands for those on disk, which are read anew."""
    global _tuned
    _tuned = choices
    _tuned_on_disk.cache_clear()
    forget_selections()


def forget_selections() -> None:
    """Choose anew at the next call of each operation."""
    for operation in OPERATIONS.values():
        operation._selected.clear()


thread_listeners.append(forget_selections)  # what is fastest depends on the number of threads
