"""Reverse-mode differentiation: the tape.

A `Function` states one operation's mathematics. `apply` runs it forward on raw arrays and, where
a gradient will be wanted, leaves it on the tape: its output remembers the Function, the
Function remembers the edges to its inputs. `backpropagation` walks these edges from the newest Function
to the oldest. Since each `backward` is itself made of Tensor operations, recording the
walk gives gradients of gradients.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from typing import Any

from .kernels.arrays import Array, owner
from .kernels.cpu.recording import recording
from .kernels.errors import DeviceError, MinigradError
from .readers import Reader, Readers
from .tensor import Tensor, is_floating

Gradient = Tensor | None
Edge = Any  # the Function that made an input, the input itself where it is a leaf, or None


class GraphError(MinigradError, RuntimeError):
    """A backward pass that cannot be made."""


_recording: ContextVar[bool] = ContextVar("minigrad_recording", default=True)
_sequence = itertools.count()


def is_grad_enabled() -> bool:
    """Whether operations are being recorded for a backward pass."""
    return _recording.get()


@contextmanager
def set_grad_enabled(enabled: bool) -> Iterator[None]:
    """Record operations, or not, inside a `with` block."""
    token = _recording.set(enabled)
    try:
        yield
    finally:
        _recording.reset(token)


def records(*inputs: Any) -> bool:
    """Whether an operation on `inputs` would be recorded: recording is on, and one of them wants a gradient."""
    return _recording.get() and any(isinstance(x, Tensor) and x.requires_grad for x in inputs)


def fuses(*inputs: Any) -> bool:
    """Whether operations on `inputs` may be carried out as one: nobody asks for what is between them."""
    return not records(*inputs) and not one_by_one()


def one_by_one() -> bool:
    """Whether somebody must see operations by themselves that could be carried out as one."""
    return any(item.one_by_one for item in active_hooks)


def no_grad() -> Any:
    """Inside this `with` block, or in a function it decorates, nothing is recorded."""
    return set_grad_enabled(False)


class Function:
    """One application of a differentiable operation.

    A subclass states `forward`, raw arrays in and one raw array out, and `backward`, which maps the gradient
    of the output to one gradient an input, Tensors both. What `backward` may use:
    `self.inputs` (Tensors and constants, as they came in), `self.output` (the result as a
    Tensor), whatever raw arrays `forward` kept in attributes of its own, and
    `self.needs_gradient`, to leave out gradients that nobody asked for.

    Broadcasting is undone and dtypes are restored here, not in the subclasses. So is checked here that the values
    that `backward` reads are those that `forward` saw.
    """

    differentiable: bool = True
    saves_inputs: bool = True  # a Function whose backward does without them lets their memory go
    saves_output: bool = False
    multilinear: bool = False  # each gradient reads all inputs but its own; what none reads is not saved (None)

    inputs: tuple[Any, ...] = ()
    edges: tuple[Edge, ...] = ()
    needs_gradient: tuple[bool, ...] = ()
    _saved: Sequence[
        tuple[Tensor, Array]
    ] = ()  # the Tensors in `inputs`, and the arrays that the forward pass saw
    freed = False
    spoiled_by = ""  # what changed in place since the forward pass that `backward` would read
    sequence = -1
    shared_readers: Readers | None = None  # where the result is a part of memory that others write to, too
    origin: Any = None  # where the forward call stood, noted while anomalies are looked for
    name: str = "Function"  # in errors, reports and drawings; the class's, unless an instance has its own

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = cls.__dict__.get("name", cls.__name__)

    def forward(self, *arrays: Any) -> Array:
        raise NotImplementedError(f"{self.name} has no forward")

    def backward(self, gradient: Tensor) -> Gradient | Sequence[Gradient]:
        raise GraphError(f"{self.name} has no gradient")

    def __call__(self, *inputs: Any) -> Tensor:
        return apply(self, *inputs)

    @property
    def output(self) -> Tensor:
        """The result, connected to this Function as the Tensor that `apply` returned was.

        A fresh handle: holding the Tensor itself would make a cycle that only the garbage collector frees.
        """
        handle = Tensor(self._output, node=self)
        handle.readers = self._output_readers
        return handle

    def record(self, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Put this Function on the tape.

        Raises:
            GraphError: if it is there already: what it keeps belongs to one application.
        """
        if self.sequence >= 0:
            raise GraphError(f"this {self.name} has been applied before; make a new one for each application")
        self.sequence = next(_sequence)
        self.edges = tuple([edge_of(x) for x in inputs])
        self._specifications = [(x.data.shape, x.data.dtype) if isinstance(x, Tensor) else None for x in inputs]
        reader: weakref.ref[Reader] = weakref.ref(self)
        if self.saves_inputs:
            self.inputs = self._read(inputs) if self.multilinear else inputs
            self._saved = [(x, x.data) for x in self.inputs if isinstance(x, Tensor)]
            for x, _ in self._saved:
                x.note_reader(reader)
        if self.saves_output:
            output.note_reader(reader)
            self._output, self._output_readers = output.data, output.readers

    def _read(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs of a multilinear Function that the gradient of another one reads; None for the rest."""
        wanted = [edge is not None for edge in self.edges]
        if all(wanted):
            return inputs
        count = sum(wanted)
        return tuple([x if count > own else None for x, own in zip(inputs, wanted, strict=True)])

    def gradients(self, gradient: Tensor, needed: tuple[bool, ...]) -> list[Gradient]:
        """`backward`, brought to the shapes and dtypes of the inputs; None where not needed."""
        if self.freed:
            raise GraphError(
                f"the graph behind {self.name} was freed by an earlier backward pass; "
                "pass retain_graph=True to the first one to go back over it again"
            )
        self._check_unchanged()
        self.needs_gradient = needed
        given = self.backward(gradient)
        results = [given] if isinstance(given, Tensor) or given is None else list(given)
        if len(results) != len(self.edges):
            raise GraphError(f"{self.name}: {len(self.edges)} inputs, but backward gave {len(results)} gradients")
        return [
            self._conform(result, *specification) if need and result is not None and specification else None
            for result, need, specification in zip(results, needed, self._specifications, strict=True)
        ]

    def _check_unchanged(self) -> None:
        """Raise a GraphError if what `backward` reads was changed in place or replaced since `forward` read it."""
        change = self.spoiled_by
        for x, array in self._saved:
            if x.data is not array:
                change = (
                    f"the array of a {type(x).__name__} of shape {x.shape} was replaced by another (by a weight "
                    "average that was applied, Module.to, or an assignment to its data)"
                )
        if change:
            called = f", called {self.origin}," if self.origin else ""
            raise GraphError(
                f"{self.name}{called} has no right gradient any more: {change} after the forward pass that read "
                "it; call backward() before such a change, or repeat the forward pass after it"
            )

    def _conform(self, gradient: Tensor, shape: tuple[int, ...], dtype: Any) -> Tensor:
        """Undo broadcasting (sum over the axes that were stretched) and promotion (cast back)."""
        if gradient.shape != shape:
            extra = gradient.ndim - len(shape)
            stretched = [i for i, n in enumerate(shape) if extra >= 0 and n != gradient.shape[extra + i]]
            if extra < 0 or any(shape[i] != 1 for i in stretched):
                raise GraphError(
                    f"{self.name}: backward gave a gradient of shape {gradient.shape} to an input of {shape}"
                )
            axes = (*range(extra), *(extra + i for i in stretched))
            gradient = gradient.sum(axis=axes).reshape(shape)
        return gradient if gradient.dtype == dtype else gradient.astype(dtype)

    def release(self) -> None:
        """Let go of everything the tape kept, but for the shape of the graph itself."""
        kept = ("edges", "_specifications", "sequence", "origin", "name")
        self.__dict__ = {"freed": True, **{key: self.__dict__[key] for key in kept if key in self.__dict__}}


def edge_of(x: Any) -> Edge:
    if not isinstance(x, Tensor) or not x.requires_grad:
        return None
    return x if x.node is None else x.node


class Hook:
    """What a context around the dispatch point can see; override what you need (see `minigrad.inspect`).

    Attributes:
        one_by_one: whether it must see operations by themselves that are otherwise carried out as one.
    """

    one_by_one = False

    def before_forward(self, function: Function, inputs: tuple[Any, ...]) -> None: ...

    def after_forward(self, function: Function, inputs: tuple[Any, ...], output: Tensor) -> None: ...

    def before_backward(self, function: Function, gradient: Tensor) -> None: ...

    def after_backward(self, function: Function, gradient: Tensor, results: Sequence[Gradient]) -> None: ...


active_hooks: list[Hook] = []


@contextmanager
def hook(*hooks: Hook) -> Iterator[None]:
    """Call `hooks` around every operation, forward and backward, inside a `with` block."""
    active_hooks.extend(hooks)
    try:
        yield
    finally:
        for item in hooks:
            active_hooks.remove(item)


def _check_devices(function: Function, inputs: tuple[Any, ...]) -> None:
    """Raise a DeviceError if the Tensors among `inputs` lie on different devices."""
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    devices = sorted({x.device for x in tensors})
    if len(devices) > 1:
        given = ", ".join(f"{x.shape} on {x.device}" for x in tensors)
        raise DeviceError(
            f"{function.name}: its operands lie on different devices ({given}); "
            f"move one with .to({devices[0]!r}) or .to({devices[1]!r})"
        )


def _recorded_forward(function: Function, arrays: list[Any]) -> Array:
    """`forward` while what is computed is recorded: by the operations that it calls, or else as a whole."""
    present = recording()
    assert present is not None
    if type(function).__module__.partition(".")[0] != __name__.partition(".")[0]:
        present.spoil(
            f"{function.name} is no operation of minigrad's own, and may keep what it should compute anew"
        )
    before = len(present.steps)
    result = function.forward(*arrays)
    if len(present.steps) > before:
        return result
    twin = copy(function)  # a Function forgets what it is once its gradient has been computed
    return present.keep_call(lambda: twin.forward(*arrays), result, arrays)


def apply(function: Function, *inputs: Any) -> Tensor:
    """The single dispatch point: run a Function forward, and record it where a gradient will be wanted.

    `inputs` are Tensors, or Python scalars, which stay weakly typed as NEP 50 has it.
    """
    for item in active_hooks:
        item.before_forward(function, inputs)
    arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
    if len(arrays) > 1 and len({type(array) for array in arrays if hasattr(array, "strides")}) > 1:
        _check_devices(function, inputs)
    result = function.forward(*arrays) if recording() is None else _recorded_forward(function, arrays)
    output = Tensor(result)
    output.readers = function.shared_readers
    memory = owner(output.data)
    for x in inputs:
        if isinstance(x, Tensor) and owner(x.data) is memory:
            output.share_readers(x)  # a view: whoever assigns to one of the two changes both
    if function.differentiable and records(*inputs) and is_floating(output.dtype):
        function.record(inputs, output)
        output.node = function
        output.requires_grad = True
    for item in reversed(active_hooks):
        item.after_forward(function, inputs, output)
    return output
