"""The pass back over the tape: from the newest Function to the oldest, gradients adding up on the way."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .autograd import Edge, Function, Gradient, GraphError, active_hooks, edge_of, set_grad_enabled
from .casts import LateCast, cast_together
from .kernels import accumulate
from .kernels.accumulate import AccumulateProblem
from .kernels.arrays import Array, dtype_name, owner
from .kernels.errors import DeviceError, ShapeError
from .partial import joined, whole
from .tensor import Tensor


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
    wanted = None if targets is None else {id(edge_of(target)) for target in targets}
    useful = None if targets is None else _leading_to(targets, outputs)
    summed: set[int] = set()  # gradients that are sums of ours, so that the next term may be added in place

    def add(edge: Edge, gradient: Tensor) -> None:
        key = id(edge)
        if key not in reached:
            reached[key] = (edge, gradient)
            if isinstance(edge, Function):
                heapq.heappush(pending, (-edge.sequence, key, edge))
        elif create_graph:
            reached[key] = (edge, reached[key][1] + gradient)
        elif not joined(reached[key][1], gradient):
            total, gradient = whole(reached[key][1]), whole(gradient)
            problem = AccumulateProblem(gradient.shape, dtype_name(gradient.dtype))
            if key in summed:
                accumulate.add_to(problem, total.data, gradient.data)
            else:
                reached[key] = (edge, Tensor(accumulate.add(problem, total.data, gradient.data)))
                summed.add(key)

    with set_grad_enabled(create_graph):
        for output, gradient in zip(outputs, output_gradients, strict=True):
            add(edge_of(output), gradient)
        while pending:
            _, key, function = heapq.heappop(pending)
            gradient = whole(reached.pop(key)[1])
            if wanted and key in wanted:
                reached[key] = (function, gradient)
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
        late = {key: found for key, (_, found) in reached.items() if isinstance(found, LateCast)}
        for key, gradient in zip(late, cast_together(list(late.values())), strict=True):
            reached[key] = (reached[key][0], gradient)
    return reached


def _run_backward(function: Function, gradient: Tensor, needed: tuple[bool, ...]) -> list[Gradient]:
    for item in active_hooks:
        item.before_backward(function, gradient)
    results = function.gradients(gradient, needed)
    for item in reversed(active_hooks):
        item.after_backward(function, gradient, results)
    return results


def _leading_to(targets: Sequence[Tensor], outputs: Sequence[Tensor]) -> set[int]:
    """The ids of all edges from which a target can be reached, so that other branches are skipped."""
    wanted = [edge_of(target) for target in targets]
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
    if gradient.device != output.device:
        raise DeviceError(
            f"the gradient lies on {gradient.device}, the output on {output.device}: "
            f"move it there with .to({output.device!r})"
        )
    if gradient.shape != output.shape:
        raise ShapeError(f"the gradient has shape {gradient.shape}, the output {output.shape}: they must be equal")
    return gradient if gradient.dtype == output.dtype else gradient.astype(output.dtype)


def _shares_elements(array: Array) -> bool:
    """Whether some of its elements are one number in memory, as `broadcast_to` makes them.

    NumPy does not let such an array be written to, CuPy has no such flag.
    """
    if isinstance(array, np.ndarray):
        return not array.flags.writeable
    return any(stride == 0 and n > 1 for n, stride in zip(array.shape, array.strides, strict=True))


def _may_overlap(first: Array, second: Array) -> bool:
    """Whether views of the same memory may have an element in common: unless one begins after the other's end."""
    return not isinstance(first, np.ndarray) or np.may_share_memory(first, second)


def several(tensors: Any, name: str) -> list[Tensor]:
    """One Tensor, or a sequence of them, as a list.

    Raises:
        GraphError: if it is neither.
    """
    if isinstance(tensors, Tensor):
        return [tensors]
    if not isinstance(tensors, Iterable):
        raise GraphError(f"{name} must be a Tensor or a sequence of Tensors, not {type(tensors).__name__}")
    return list(tensors)


def backward(
    output: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Add to `.grad` of every leaf the gradient of `output` with respect to it; see `Tensor.backward`."""
    first = _first_gradient(output, gradient)
    retain = create_graph if retain_graph is None else retain_graph
    reached = backpropagate([output], [first], None, retain, create_graph).values()
    # Optimisers change gradients in place: none may share memory with another, with a leaf or with what was given.
    taken: dict[int, list[Array]] = defaultdict(list)
    for array in (first.data, *(leaf.data for leaf, _ in reached)):
        taken[id(owner(array))].append(array)
    with set_grad_enabled(create_graph):
        for leaf, result in reached:
            neighbours = taken[id(owner(result.data))]
            if leaf.grad is not None:
                result = leaf.grad + result
            elif _shares_elements(result.data) or any(_may_overlap(result.data, other) for other in neighbours):
                result = result.copy()
            leaf.grad = result
            taken[id(owner(result.data))].append(result.data)


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
    outputs, inputs = several(outputs, "grad: outputs"), several(inputs, "grad: inputs")
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
    results = [reached[id(edge_of(x))][1] if id(edge_of(x)) in reached else None for x in inputs]
    for position, (x, result) in enumerate(zip(inputs, results, strict=True)):
        if result is None and not allow_unused:
            raise GraphError(
                f"the outputs do not depend on input {position} of shape {x.shape}; "
                "pass allow_unused=True to get None for it"
            )
    return tuple(results)
