"""Reverse-mode differentiation: the tape, and the pass back over it.

A `Function` states one operation's mathematics. `apply` runs it forward on raw arrays and, where
a gradient will be wanted, leaves it on the tape: its output remembers the Function, the
Function remembers the edges to its inputs. `backpropagate` walks these edges from the newest Function
to the oldest. Since each `backward` is itself made of Tensor operations, recording the
walk gives gradients of gradients.
"""

from __future__ import annotations

import heapq
import itertools
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .kernels.arrays import Array
from .kernels.errors import MinigradError, ShapeError
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

    Broadcasting is undone and dtypes are restored here, not in the subclasses.
    """

    differentiable: bool = True
    saves_inputs: bool = True  # a Function whose backward does without them lets their memory go
    saves_output: bool = False

    inputs: tuple[Any, ...] = ()
    edges: tuple[Edge, ...] = ()
    needs_gradient: tuple[bool, ...] = ()
    freed = False
    sequence = -1
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
        self.edges = tuple(_edge(x) for x in inputs)
        self._specifications = [(x.shape, x.dtype) if isinstance(x, Tensor) else None for x in inputs]
        if self.saves_inputs:
            self.inputs = inputs
            for x in inputs:
                if isinstance(x, Tensor):
                    x.note_reader(weakref.ref(self))
        if self.saves_output:
            output.note_reader(weakref.ref(self))
            self._output, self._output_readers = output.data, output.readers

    def gradients(self, gradient: Tensor, needed: tuple[bool, ...]) -> list[Gradient]:
        """`backward`, brought to the shapes and dtypes of the inputs; None where not needed."""
        if self.freed:
            raise GraphError(
                f"the graph behind {self.name} was freed by an earlier backward pass; "
                "pass retain_graph=True to the first one to go back over it again"
            )
        self.needs_gradient = needed
        given = self.backward(gradient)
        results = [given] if isinstance(given, Tensor) or given is None else list(given)
        if len(results) != len(self.edges):
            raise GraphError(f"{self.name}: {len(self.edges)} inputs, but backward gave {len(results)} gradients")
        return [
            self._conform(result, *specification) if need and result is not None and specification else None
            for result, need, specification in zip(results, needed, self._specifications, strict=True)
        ]

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


def _edge(x: Any) -> Edge:
    if not isinstance(x, Tensor) or not x.requires_grad:
        return None
    return x if x.node is None else x.node


class Hook:
    """What a context around the dispatch point can see; override what you need (see `minigrad.inspect`)."""

    def before_forward(self, function: Function, inputs: tuple[Any, ...]) -> None: ...

    def after_forward(self, function: Function, inputs: tuple[Any, ...], output: Tensor) -> None: ...

    def before_backward(self, function: Function, gradient: Tensor) -> None: ...

    def after_backward(self, function: Function, gradient: Tensor, results: Sequence[Gradient]) -> None: ...


_hooks: list[Hook] = []


@contextmanager
def hook(*hooks: Hook) -> Iterator[None]:
    """Call `hooks` around every operation, forward and backward, inside a `with` block."""
    _hooks.extend(hooks)
    try:
        yield
    finally:
        for item in hooks:
            _hooks.remove(item)


def apply(function: Function, *inputs: Any) -> Tensor:
    """The single dispatch point: run a Function forward, and record it where a gradient will be wanted.

    `inputs` are Tensors, or Python scalars, which stay weakly typed as NEP 50 has it.
    """
    for item in _hooks:
        item.before_forward(function, inputs)
    result = function.forward(*[x.data if isinstance(x, Tensor) else x for x in inputs])
    output = Tensor(result)
    for x in inputs:
        if isinstance(x, Tensor) and _owner(x.data) is _owner(output.data):
            output.share_readers(x)  # a view: whoever assigns to one of the two changes both
    if (
        function.differentiable
        and _recording.get()
        and any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
        and is_floating(output.dtype)
    ):
        function.record(inputs, output)
        output.node = function
        output.requires_grad = True
    for item in reversed(_hooks):
        item.after_forward(function, inputs, output)
    return output


def backpropagate(
    outputs: Sequence[Tensor],
    output_gradients: Sequence[Tensor],
    targets: Sequence[Tensor] | None,
    retain_graph: bool,
    create_graph: bool,
) -> dict[int, tuple[Edge, Tensor]]:
    """Carry gradients from `outputs` back to `targets`, or to every leaf if that is None.

    Functions are visited newest first; as each is newer than its inputs, a Function's turn comes when
    all the gradients that flow into its output have been added up. There is no recursion, so
    a graph may be of any depth.

    Returns:
        id of the edge -> (edge, gradient), for each target or leaf that was reached.
    """
    reached: dict[int, tuple[Edge, Tensor]] = {}
    pending: list[tuple[int, int, Function]] = []
    wanted = None if targets is None else {id(_edge(target)) for target in targets}
    useful = None if targets is None else _leading_to(targets, outputs)
    summed: set[int] = set()  # gradients that are sums of ours, so that the next term may be added in place

    def add(edge: Edge, gradient: Tensor) -> None:
        key = id(edge)
        if key not in reached:
            reached[key] = (edge, gradient)
            if isinstance(edge, Function):
                heapq.heappush(pending, (-edge.sequence, key, edge))
        elif key in summed and not create_graph:
            reached[key][1].data.__iadd__(gradient.data)
        else:
            reached[key] = (edge, reached[key][1] + gradient)
            summed.add(key)

    with set_grad_enabled(create_graph):
        for output, gradient in zip(outputs, output_gradients, strict=True):
            add(_edge(output), gradient)
        while pending:
            _, key, function = heapq.heappop(pending)
            gradient = reached[key][1] if wanted and key in wanted else reached.pop(key)[1]
            summed.discard(key)
            needed = tuple(edge is not None and (useful is None or id(edge) in useful) for edge in function.edges)
            if not any(needed):
                continue
            results = _run_backward(function, gradient, needed)
            for edge, result in zip(function.edges, results, strict=True):
                if result is not None:
                    add(edge, result)
            if not retain_graph:
                function.release()
    return reached


def _run_backward(function: Function, gradient: Tensor, needed: tuple[bool, ...]) -> list[Gradient]:
    for item in _hooks:
        item.before_backward(function, gradient)
    results = function.gradients(gradient, needed)
    for item in reversed(_hooks):
        item.after_backward(function, gradient, results)
    return results


def _leading_to(targets: Sequence[Tensor], outputs: Sequence[Tensor]) -> set[int]:
    """The ids of all edges from which a target can be reached, so that other branches are skipped."""
    wanted = [_edge(target) for target in targets]
    oldest = min((edge.sequence if isinstance(edge, Function) else -1 for edge in wanted), default=-1)
    functions: dict[int, Function] = {}
    unvisited = [output.node for output in outputs if output.node is not None]
    while unvisited:
        function = unvisited.pop()
        if id(function) not in functions and function.sequence >= oldest:  # what is older leads to no target
            functions[id(function)] = function
            unvisited.extend(edge for edge in function.edges if isinstance(edge, Function))
    useful = {id(edge) for edge in wanted}
    for function in sorted(functions.values(), key=lambda function: function.sequence):
        if any(id(edge) in useful for edge in function.edges if edge is not None):
            useful.add(id(function))
    return useful


def _first_gradient(output: Tensor, gradient: Any) -> Tensor:
    """The gradient that a pass starts from: the given one, checked, or 1 for a scalar."""
    if not isinstance(output, Tensor):
        raise GraphError(f"gradients start from a Tensor, not from {type(output).__name__}")
    if not output.requires_grad:
        raise GraphError(f"no gradient can flow: the output of shape {output.shape} does not require one")
    if gradient is None:
        if output.size != 1:
            raise GraphError(
                f"an output of shape {output.shape} needs an explicit gradient of that shape; "
                "only a single number has the gradient 1"
            )
        return Tensor(output.xp.ones_like(output.data))
    gradient = gradient if isinstance(gradient, Tensor) else Tensor(output.xp.asarray(gradient))
    if gradient.shape != output.shape:
        raise ShapeError(f"the gradient has shape {gradient.shape}, the output {output.shape}: they must be equal")
    return gradient if gradient.dtype == output.dtype else gradient.astype(output.dtype)


def backward(
    output: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Add to `.grad` of every leaf the gradient of `output` with respect to it; see `Tensor.backward`."""
    first = _first_gradient(output, gradient)
    retain = create_graph if retain_graph is None else retain_graph
    reached = backpropagate([output], [first], None, retain, create_graph).values()
    # Optimisers change gradients in place: none may share memory with another, with a leaf or with what was given.
    taken = {id(_owner(first.data)), *(id(_owner(leaf.data)) for leaf, _ in reached)}
    with set_grad_enabled(create_graph):
        for leaf, result in reached:
            if leaf.grad is not None:
                result = leaf.grad + result
            elif id(_owner(result.data)) in taken or not result.data.flags.writeable:
                result = result.copy()
            leaf.grad = result
            taken.add(id(_owner(result.data)))


def _owner(array: Array) -> Array:
    """The array whose memory `array` is a view of, or itself."""
    while isinstance(array.base, type(array)):
        array = array.base
    return array


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Gradient, ...]:
    """The gradients of the sum of `outputs` (each weighted by its entry in `grad_outputs`) by each of `inputs`.

    Args:
        outputs: one Tensor or several.
        inputs: one Tensor or several, leaves or not.
        grad_outputs: one gradient an output, of its shape; may be left out for single numbers.
        retain_graph: keep the graph for another pass; by default only where `create_graph` is set.
        create_graph: record the pass itself, so that the results can be differentiated again.
        allow_unused: give None for an input that the outputs do not depend on, instead of raising.

    Returns:
        One gradient an input, of its shape and dtype.

    Raises:
        GraphError: if an input does not require a gradient or is not used, or a graph was freed.
        ShapeError: if an entry of `grad_outputs` has another shape than its output.
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if grad_outputs is None:
        grad_outputs = [None] * len(outputs)
    elif not isinstance(grad_outputs, list | tuple):
        grad_outputs = [grad_outputs]
    if len(grad_outputs) != len(outputs):
        raise GraphError(f"{len(outputs)} outputs, but {len(grad_outputs)} entries in grad_outputs")
    for position, x in enumerate(inputs):
        if not isinstance(x, Tensor):
            raise GraphError(f"input {position} is no Tensor but {type(x).__name__}: nothing was recorded for it")
        if not x.requires_grad:
            raise GraphError(f"input {position} of shape {x.shape} does not require a gradient")
    first = [_first_gradient(y, gradient) for y, gradient in zip(outputs, grad_outputs, strict=True)]
    retain = create_graph if retain_graph is None else retain_graph
    reached = backpropagate(outputs, first, inputs, retain, create_graph)
    results = [reached[id(_edge(x))][1] if id(_edge(x)) in reached else None for x in inputs]
    for position, (x, result) in enumerate(zip(inputs, results, strict=True)):
        if result is None and not allow_unused:
            raise GraphError(
                f"the outputs do not depend on input {position} of shape {x.shape}; "
                "pass allow_unused=True to get None for it"
            )
    return tuple(results)
