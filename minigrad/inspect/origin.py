"""Where an operation was called from: the module that was running, and the line of the model or program."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ..autograd import Function, Hook, hook
from ..nn import Module, module_path, running_modules

PACKAGE = __name__.split(".")[0]
# What a person who reads a report did not write. Models, training loops and the command line count as theirs.
ENGINE = {
    "autograd",
    "backpropagation",
    "creation",
    "device",
    "gradcheck",
    "inspect",
    "kernels",
    "nn",
    "ops",
    "optim",
    "random",
    "readers",
    "tensor",
}


@dataclass(frozen=True)
class Origin:
    """The place of one call.

    Attributes:
        modules: the modules whose forward was running, outermost first.
        file, line: of the innermost call that is not the engine's own.
    """

    modules: tuple[Module, ...]
    file: str
    line: int

    @property
    def module_path(self) -> str:
        """Such as `inception3a.branch2.0.conv`; empty in the outermost module, or outside of any."""
        return module_path(self.modules)

    @property
    def module(self) -> str:
        """The module in words: its path and class, or "" outside of any."""
        if not self.modules:
            return ""
        kind, path = type(self.modules[-1]).__name__, self.module_path
        return f"{path} ({kind})" if path else kind

    @property
    def text(self) -> str:
        """The line itself, as far as its file can be read."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        """One phrase: the module where there is one, file, line and text."""
        place = f"{_short(self.file)}:{self.line}" + (f" `{self.text}`" if self.text else "")
        return f"in {self.module}, {place}" if self.modules else f"at {place}"


def here() -> Origin:
    """The origin of the operation that is being applied."""
    frame: FrameType = sys._getframe(1)
    while _is_engine(frame) and frame.f_back is not None:
        frame = frame.f_back
    return Origin(running_modules(), frame.f_code.co_filename, frame.f_lineno)


def _is_engine(frame: FrameType) -> bool:
    package, _, rest = frame.f_globals.get("__name__", "").partition(".")
    # contextlib stands between a decorated function and its caller.
    return package == "contextlib" or (package == PACKAGE and rest.split(".")[0] in ENGINE)


def _short(file: str) -> str:
    """The path as seen from the working directory, where it lies inside of it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


class OriginHook(Hook):
    """Notes on each Function where it was called; what a backward pass calls has the origin it goes back over."""

    def __init__(self) -> None:
        self.going_back: Function | None = None

    def before_forward(self, function: Function, inputs: tuple[Any, ...]) -> None:
        function.origin = here() if self.going_back is None else self.going_back.origin

    def before_backward(self, function: Function, gradient: Any) -> None:
        self.going_back = function

    def after_backward(self, function: Function, gradient: Any, results: Any) -> None:
        self.going_back = None


@contextmanager
def record_origins() -> Iterator[None]:
    """Inside this `with` block every operation remembers its module and line, for drawings of the graph."""
    with hook(OriginHook()):
        yield
