"""One implementation of an operation, and what it says of itself: where it runs, and which problems it refuses."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from .cpu.recording import again
from .errors import KernelError, MinigradError

DEVICES = ("cpu", "cuda", "any")  # on which a variant runs


@dataclass(frozen=True)
class Variant:
    """One implementation of an operation.

    `refuses(problem)` gives the reason why the variant cannot run a problem, or None where it can.
    `priority` decides between variants that can run; it may depend on the problem. Where it is negative, the
    variant runs only where it is asked for by name, and no measurement chooses it: it is less accurate.
    `only_launches`: all that the function computes it computes in task kernels (`cpu.tasks`), so that a recording
    may keep these in its place.
    `unavailable()` gives the reason why the variant runs no problem at all on this machine, or None.
    `origin` tells versions of a kernel apart that is not minigrad's own: a hash of the file that it came from.
    """

    name: str
    device: str
    function: Callable[..., Any]
    refuses: Callable[[Any], str | None]
    priority: int | Callable[[Any], int]
    origin: str = ""
    only_launches: bool = False
    unavailable: Callable[[], str | None] = lambda: None

    def __call__(self, problem: Hashable, *arrays: Any, **options: Any) -> Any:
        if self.only_launches:
            return self.function(problem, *arrays, **options)
        return again(lambda: self.function(problem, *arrays, **options), arrays)

    @property
    def identity(self) -> str:
        """The name by which a measurement remembers this variant."""
        return f"{self.name}@{self.origin}" if self.origin else self.name

    def rank(self, problem: Hashable) -> int:
        return self.priority(problem) if callable(self.priority) else self.priority

    def runs_on(self, device: str) -> bool:
        """Whether arrays of `device` are this variant's; CUDA kernels run on "emulated" arrays, too."""
        return self.device in ("any", "cuda" if device == "emulated" else device)

    def obstacle(self, problem: Hashable, device: str) -> str | None:
        """Why this variant cannot run `problem` on `device`, or None.

        Raises:
            KernelError: if `refuses` fails, or gives True or False in the place of a reason; with file and line.
        """
        if not self.runs_on(device):
            return f"it runs on {self.device}, the arrays are on {device}"
        try:
            reason = self.refuses(problem)
        except MinigradError:
            raise
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__}: {error}"
            raise KernelError(f"{frame.filename}, line {frame.lineno}: `refuses` raises {words}") from error
        if isinstance(reason, bool):
            raise KernelError(f"variant {self.name!r}: `refuses` gives a reason or None, not {reason}")
        return self.unavailable() if reason is None else reason
