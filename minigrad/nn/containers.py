"""Modules made of a sequence of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Self, overload

from ..kernels.errors import MinigradError
from .module import Module


class ModuleList(Module):
    """Modules by position, named "0", "1", ...; it has no forward of its own.

    Raises:
        MinigradError: if an item is not a Module.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        taken = dict(self.named_children())  # a slice keeps the names of what it was cut from
        return self._add(next(name for name in map(str, count(len(self))) if name not in taken), module)

    def _add(self, name: str, module: Module) -> Self:
        if not isinstance(module, Module):
            raise MinigradError(f"{type(self).__name__}: {name!r} must be a Module, got {module!r}")
        setattr(self, name, module)
        return self

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        modules = list(self.children())
        if isinstance(index, slice):
            part = type(self)()
            for name, module in list(self.named_children())[index]:
                part._add(name, module)
            return part
        if not -len(modules) <= index < len(modules):
            raise IndexError(f"{type(self).__name__} has {len(modules)} modules, there is none at {index}")
        return modules[index]

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()


class Sequential(ModuleList):
    """Modules one after another, each given what the one before returned.

    Args:
        modules: the modules, or one mapping from names to modules.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named = modules[0].items()
        else:
            named = {str(position): module for position, module in enumerate(modules)}.items()  # type: ignore[assignment]
        for name, module in named:
            self._add(name, module)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x


class Identity(Module):
    """Returns its input."""

    def forward(self, x: Any) -> Any:
        return x
