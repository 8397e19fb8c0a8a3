"""The graph behind a Tensor, as lines of text or as a drawing for Graphviz."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..autograd import Function
from ..nn import Module
from ..tensor import Tensor


@dataclass(frozen=True)
class Node:
    """One operation or leaf of a graph.

    Attributes:
        label: the operation's name, or the leaf's.
        shape: of its result.
        dtype: of its result.
        module: the path of the module that called it, if `record_origins` was on, else "".
        inputs: positions of its inputs among the nodes; constants and Tensors without gradient are no nodes.
    """

    label: str
    shape: tuple[int, ...]
    dtype: str
    module: str
    inputs: tuple[int, ...]
    is_leaf: bool


def nodes(output: Tensor, names: Module | Mapping[str, Tensor] | None = None) -> list[Node]:
    """The graph behind `output`, inputs before what is made of them.

    Args:
        output: the Tensor to start from; itself alone if it is a leaf.
        names: how leaves are called: a Module, by its parameters' names, or a mapping from names to Tensors.
    """
    if isinstance(names, Module):
        names = dict(names.named_parameters())
    known = {id(tensor): name for name, tensor in (names or {}).items()}
    results: dict[int, tuple[Any, tuple[int, ...], str]] = {}  # edge and the shape and dtype of what it gives
    unvisited: list[tuple[Any, tuple[int, ...], str]] = [(output.node or output, output.shape, output.dtype.name)]
    while unvisited:
        edge, shape, dtype = unvisited.pop()
        if id(edge) in results:
            continue
        results[id(edge)] = (edge, shape, dtype)
        if isinstance(edge, Function):
            for source, specification in zip(edge.edges, edge._specifications, strict=True):
                if source is not None and specification is not None:
                    unvisited.append((source, specification[0], specification[1].name))
    # Leaves first, then operations by age: each is newer than its inputs.
    order = sorted(results, key=lambda key: getattr(results[key][0], "sequence", -1))
    position = {key: i for i, key in enumerate(order)}
    drawn = []
    for key in order:
        edge, shape, dtype = results[key]
        if isinstance(edge, Function):
            module = edge.origin.module_path if edge.origin else ""
            inputs = tuple(position[id(source)] for source in edge.edges if source is not None)
            drawn.append(Node(edge.name, shape, dtype, module, inputs, False))
        else:
            drawn.append(Node(known.get(key, type(edge).__name__.lower()), shape, dtype, "", (), True))
    return drawn


def graph_text(output: Tensor, names: Module | Mapping[str, Tensor] | None = None) -> str:
    """The graph behind `output`, a line a node: `%2 = multiply(%0, %1)  (3,) float32  encoder.0`. See `nodes`."""
    lines = []
    for i, node in enumerate(nodes(output, names)):
        call = node.label if node.is_leaf else f"{node.label}({', '.join(f'%{j}' for j in node.inputs)})"
        lines.append(f"%{i} = {call}  {node.shape} {node.dtype}  {node.module}".rstrip())
    return "\n".join(lines)


def graph_dot(output: Tensor, names: Module | Mapping[str, Tensor] | None = None) -> str:
    """The graph behind `output` in the DOT language, for Graphviz: leaves are boxes. See `nodes`."""
    lines = ["digraph {", "  node [fontname=Helvetica, fontsize=10];"]
    for i, node in enumerate(nodes(output, names)):
        label = "\\n".join(filter(None, (node.label, node.module, f"{node.shape} {node.dtype}"))).replace(
            '"', '\\"'
        )
        lines.append(f'  n{i} [label="{label}", shape={"box" if node.is_leaf else "ellipse"}];')
        lines.extend(f"  n{j} -> n{i};" for j in node.inputs)
    return "\n".join([*lines, "}"])
