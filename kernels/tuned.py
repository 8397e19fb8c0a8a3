"""Which variant was measured to be the fastest, problem by problem, on this machine: a table on disk.

`minigrad bench OP --autotune` measures and writes it; the registry asks it where nobody chose a variant by name.
A choice holds for one problem (shapes and dtype), device and number of threads, on the machine it was measured on
and with the kernels as they were then: after a change of their sources it is ignored, as it may be wrong.

The file is `tuned.json` beside the folders of compiled kernels (see `cpu/cache.py`). Deleting it is always safe.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numba
import numpy as np

from .cpu import cache
from .machine import processor_of

FORMAT = "minigrad tuned 1"
SOURCES = (".py", ".cu", ".cuh")
ADVICE = "measure anew (minigrad bench all --autotune) or forget them (minigrad kernels --forget-tuned)"
Key = tuple[str, str, str, int]
KINDS: Mapping[str, Any] = {"threads": int, "gain": int | float, "choices": tuple}  # the others are text


@dataclass(frozen=True)
class Choice:
    """The variant that won.

    Attributes:
        device, operation, problem, threads: what was measured; `problem` as it prints itself, and no threads (0)
            on a GPU.
        variant: the winner; a kernel from a file of the user's own with a hash of that file, "mine@0123456789ab".
        default: what runs without this choice. Where the noise hid a difference it is the winner.
        gain: how many times faster the winner is.
    """

    device: str
    operation: str
    problem: str
    threads: int
    variant: str
    default: str
    gain: float = 1.0

    @property
    def key(self) -> Key:
        return self.device, self.operation, self.problem, self.threads


@dataclass(frozen=True)
class Tuned:
    """The choices that hold on this machine.

    Attributes:
        choices: by device, operation, problem and threads.
        origin: the file that they come from, or None.
        trouble: why a file that is there was ignored, for people; empty where all is well.
    """

    choices: Mapping[Key, Choice] = field(default_factory=dict)
    origin: Path | None = None
    trouble: str = ""

    def variant(self, device: str, operation: str, problem: Any, threads: int) -> str | None:
        """The variant that won, or None where nothing was measured."""
        if not self.choices:
            return None
        choice = self.choices.get((device, operation, str(problem), threads if device == "cpu" else 0))
        return None if choice is None else choice.variant


def default_path() -> Path:
    """Where this machine's choices are kept; the file is not necessarily there."""
    return cache.folder().parent / "tuned.json"


@functools.cache
def sources() -> str:
    """A hash of all kernels and of the versions of what compiles them and multiplies matrices."""
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__}".encode())
    for path in sorted(cache.KERNELS.rglob("*")):
        if path.suffix in SOURCES:
            digest.update(path.relative_to(cache.KERNELS).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def load(path: Path) -> Tuned:
    """The choices of a file that hold here; none, and the reason, where it is broken or older than the kernels."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return Tuned()
    except (OSError, ValueError) as error:
        return Tuned(trouble=f"the tuned kernels of {path} are ignored, as it cannot be read: {error}")
    try:
        own = [section for section in _parse(text) if section.is_own]
    except ValueError as error:
        return Tuned(trouble=f"the tuned kernels of {path} are ignored, as it is broken: {error}; {ADVICE}")
    choices = {choice.key: choice for section in own if section.is_current for choice in section.choices}
    stale = sum(len(section.choices) for section in own if not section.is_current)
    trouble = f"{stale} tuned kernels of {path} are ignored, as the kernels have changed since; {ADVICE}"
    return Tuned(choices, path, trouble if stale else "")


def merged(text: str | None, choices: Iterable[Choice]) -> str:
    """The content of a file with `choices` in the place of what it says about their problems.

    What was measured on other machines is kept, what is stale on this one is not, nor what is broken.

    Args:
        text: the file as it is; None where there is none.
    """
    by_device: dict[str, dict[Key, Choice]] = {}
    others = []
    for section in _intact(text):
        if section.is_own and section.is_current:
            by_device[section.device] = {choice.key: choice for choice in section.choices}
        elif not section.is_own:
            others.append(section)
    for choice in choices:
        by_device.setdefault(choice.device, {})[choice.key] = choice
    own = [
        _Section(device, processor_of(device), sources(), tuple(table.values()))
        for device, table in by_device.items()
    ]
    return _text([*others, *own])


def without_own(text: str | None) -> str | None:
    """The content of a file without the choices of this machine; None where nothing is left."""
    others = [section for section in _intact(text) if not section.is_own]
    return _text(others) if others else None


@dataclass(frozen=True)
class _Section:
    """The choices of one processor or graphics card, with the state of the kernels they were measured in."""

    device: str
    processor: str
    sources: str
    choices: tuple[Choice, ...]

    @property
    def is_own(self) -> bool:
        return self.processor == processor_of(self.device)

    @property
    def is_current(self) -> bool:
        return self.sources == sources()


def _text(sections: Iterable[_Section]) -> str:
    machines = [asdict(section) for section in sections]
    for machine in machines:
        for choice in machine["choices"]:
            del choice["device"]
    return json.dumps({"format": FORMAT, "machines": machines}, indent=1) + "\n"


def _parse(text: str) -> list[_Section]:
    """The inverse of `_text`; a ValueError says what is wrong."""
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {FORMAT!r}")
        sections = [
            _Section(
                machine["device"], machine["processor"], machine["sources"],
                tuple(Choice(device=machine["device"], **choice) for choice in machine["choices"]),
            )
            for machine in content["machines"]
        ]  # fmt: skip
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    for section in sections:
        parts: list[_Section | Choice] = [section, *section.choices]
        for part in parts:
            for item in fields(part):
                value, kind = getattr(part, item.name), KINDS.get(item.name, str)
                if not isinstance(value, kind):
                    raise ValueError(f"{item.name} is {value!r}")
    return sections


def _intact(text: str | None) -> list[_Section]:
    """The sections of a file; none where it is broken."""
    try:
        return [] if text is None else _parse(text)
    except ValueError:
        return []
