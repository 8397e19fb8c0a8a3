"""Module: a function with parameters, made of other modules.

Nothing is registered. A module's parameters, buffers and parts are those of its attributes that
are a Parameter, a Buffer or a Module, in the order in which they were first assigned.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from ..kernels.errors import DTypeError, MinigradError
from ..tensor import Tensor, is_floating
from . import state
from .parameter import Buffer, Parameter

ForwardHook = Callable[["Module", tuple[Any, ...], Any], Any]
Owned = TypeVar("Owned", Parameter, Buffer)


class _Running(threading.local):
    """The modules whose forward is running in this thread, outermost first."""

    def __init__(self) -> None:
        self.modules: list[Module] = []
        self.noted: set[Module] | None = None


_running = _Running()


def running_modules() -> tuple[Module, ...]:
    """The modules whose forward is running now in this thread, outermost first."""
    return tuple(_running.modules)


@contextmanager
def noting_calls() -> Iterator[set[Module]]:
    """The modules whose forward runs in this thread inside a `with` block; complete at its end."""
    before, _running.noted = _running.noted, set()
    try:
        yield _running.noted
    finally:
        _running.noted = before


def module_path(modules: tuple[Module, ...]) -> str:
    """The name of the innermost of `modules` (see `running_modules`) as the outermost one knows it.

    Such as `inception3a.branch2.0.conv`: the attributes that lead from the model to the module. It is
    empty for the outermost module itself. A module that belongs to none of its callers goes by its class.
    """
    paths = [""]
    for position, module in enumerate(modules[1:], start=1):
        name, caller = type(module).__name__, position - 1
        # A module may call a part of one of its parts: what counts is the nearest caller that owns it.
        for candidate in reversed(range(position)):
            known = next((n for n, m in modules[candidate].named_modules() if m is module), None)
            if known is not None:
                name, caller = known, candidate
                break
        paths.append(".".join(filter(None, (paths[caller], name))))
    return paths[-1]


def has_hooks(module: Module) -> bool:
    """Whether somebody looks at what this module, and not its parts or callers, is given and gives."""
    return bool(module.__dict__.get("_forward_hooks"))


class HookHandle:
    """Takes a hook off its module again: by `remove()`, or at the end of a `with` block."""

    def __init__(self, hooks: dict[int, ForwardHook], key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        self._hooks.pop(self._key, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.remove()


class Module:
    """Base of all layers and models; a subclass states `forward` and assigns its parts in `__init__`.

    Attributes:
        training: whether the module behaves as in training (dropout drops, batch norm uses the batch).
    """

    training: bool = True

    def forward(self, *inputs: Any, **options: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} states no forward")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        running = _running.modules
        running.append(self)
        if _running.noted is not None:
            _running.noted.add(self)
        try:
            output = self.forward(*inputs, **options)
            if has_hooks(self):
                for hook in list(self.__dict__["_forward_hooks"].values()):
                    changed = hook(self, inputs, output)
                    output = output if changed is None else changed
        except MinigradError as error:
            if not hasattr(error, "__notes__"):  # the innermost module tells where it happened
                path = module_path(tuple(running))
                error.add_note(f"in module {path or '(outermost)'}: {type(self).__name__}({self.extra_repr()})")
            raise
        finally:
            running.pop()
        return output

    def __setattr__(self, name: str, value: Any) -> None:
        current = self.__dict__.get(name)
        if isinstance(current, Parameter | Buffer) and not isinstance(value, Parameter | Buffer | None):
            kind = type(current).__name__
            raise TypeError(
                f"{type(self).__name__}.{name} is a {kind} and a {type(value).__name__} would take its place: "
                f"change its values in place (inside no_grad(): {name}[...] = values), or assign a {kind} or None"
            )
        super().__setattr__(name, value)

    # Its parts

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are attributes of this one."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        return (value for value in vars(self).values() if isinstance(value, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (its name is `prefix`) and all inside of it, each once, a module before its parts."""
        seen: set[int] = set()
        for name, module in self._all_modules(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def _all_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """As `named_modules`, with a shared module under each of its names."""
        yield prefix, self
        for name, module in self.named_children():
            yield from module._all_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, by its name such as `conv1.conv.weight`."""
        return self._named(Parameter, prefix)

    def parameters(self) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Buffer]]:
        """Every buffer once, by its name such as `conv1.bn.running_mean`."""
        return self._named(Buffer, prefix)

    def buffers(self) -> Iterator[Buffer]:
        return (buffer for _, buffer in self.named_buffers())

    def _named(self, kind: type[Owned], prefix: str) -> Iterator[tuple[str, Owned]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix):
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    # What changes it

    def train(self, mode: bool = True) -> Self:
        """Behave as in training (or, with False, as in evaluation), in all parts."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Behave as in evaluation, in all parts."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or no longer (to freeze a part of a model)."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self, device: str | None = None, dtype: Any = None) -> Self:
        """Move parameters and buffers (and gradients) to `device` and, where they are real numbers, to `dtype`.

        In place: the same Parameter objects hold new arrays.

        Raises:
            DeviceError: if the device is not there.
            DTypeError: if `dtype` is not of real numbers.
        """
        if dtype is not None and not is_floating(dtype):
            raise DTypeError(f"to: parameters are real numbers, they cannot become {dtype!r}")
        for owned in (*self.parameters(), *self.buffers()):
            for tensor in (owned, owned.grad):
                if tensor is not None:
                    tensor.data = tensor.detach().to(device, dtype if is_floating(tensor.dtype) else None).data
        return self

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` with every module inside, parts first, and with this one."""
        for module in self.children():
            module.apply(function)
        function(self)
        return self

    def register_forward_hook(self, hook: ForwardHook) -> HookHandle:
        """Call `hook(module, inputs, output)` after each forward; what it returns, if not None, is the output."""
        hooks = self.__dict__.setdefault("_forward_hooks", {})
        key = max(hooks, default=-1) + 1
        hooks[key] = hook
        return HookHandle(hooks, key)

    # What is saved of it

    def state_dict(self) -> dict[str, Tensor]:
        """All parameters and buffers by name, in PyTorch's order, as detached Tensors that share their memory."""
        return {name: tensor.detach() for name, tensor in self._state()}

    def load_state_dict(self, values: Any, strict: bool = True) -> state.Difference:
        """Copy `values` into the parameters and buffers.

        Args:
            values: name -> Tensor or array (NumPy's, PyTorch's); real numbers are cast to the dtype here.
            strict: whether the names must be exactly those of `state_dict`.

        Returns:
            The names that were missing and those that were unexpected (both empty where `strict`).

        Raises:
            StateError: listing all that is missing, unexpected or does not fit; nothing has been changed then.
        """
        return state.load(type(self).__name__, dict(self._state()), values, strict)

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        for path, module in self._all_modules():
            for kind in (Parameter, Buffer):
                for name, value in vars(module).items():
                    if isinstance(value, kind):
                        yield f"{path}.{name}" if path else name, value

    # How it reads

    def extra_repr(self) -> str:
        """The arguments of this module, as its repr shows them."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {module!r}" for name, module in self.named_children()]
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        body = "\n".join([extra, *lines] if extra else lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"
