"""The paper's Table 1, computed from a model: every figure comes from a run (see `trace`), none is typed in.

    Szegedy et al., "Going deeper with convolutions", CVPR 2015, Table 1.

Parameters and operations are counted exactly: all that is trained, biases and batch normalisation included,
and multiply-adds of convolutions and of the classifier. (The paper counts weights alone, in units of 1024, and
multiply-adds in millions.) The row "softmax" is missing, as a loss has it; local response normalisation has
rows that the paper's table leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from minigrad.nn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    Conv2d,
    Dropout,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Module,
)

from .googlenet import Inception, InceptionAux
from .trace import Cost, Layer, Shape, add, cost, trace


@dataclass(frozen=True)
class Row:
    """One row of the table; None where the column has no meaning for it.

    Attributes:
        type: such as "inception (3a)".
        cost: parameters, those of them that are weights, which the paper counts, and multiply-adds.
        patch: size and stride of the window, such as "7x7/2".
        output: (height, width, channels), or (1, 1, features).
        depth: layers with weights, one after another.
        ch1x1 ... pool_proj: filters of the branches, as `Inception` names them.
        auxiliary: whether it is a head that only training runs.
    """

    type: str
    cost: Cost
    patch: str | None = None
    output: tuple[int, int, int] | None = None
    depth: int | None = None
    ch1x1: int | None = None
    ch3x3red: int | None = None
    ch3x3: int | None = None
    ch5x5red: int | None = None
    ch5x5: int | None = None
    pool_proj: int | None = None
    auxiliary: bool = False


COLUMNS = {
    "type": "type",
    "patch": "patch size/stride",
    "output": "output size",
    "depth": "depth",
    "ch1x1": "#1x1",
    "ch3x3red": "#3x3 reduce",
    "ch3x3": "#3x3",
    "ch5x5red": "#5x5 reduce",
    "ch5x5": "#5x5",
    "pool_proj": "pool proj",
    "parameters": "params",
    "multiply_adds": "ops",
}

NAMES: dict[type[Module], str] = {
    Conv2d: "convolution",
    MaxPool2d: "max pool",
    AvgPool2d: "avg pool",
    AdaptiveAvgPool2d: "avg pool",
    LocalResponseNorm: "local response norm",
    Dropout: "dropout",
    Linear: "linear",
}


def table(model: Module, size: int = 224) -> list[Row]:
    """The rows of Table 1 for a GoogLeNet and images of `size` x `size` pixels, in the order in which they run.

    The auxiliary heads, where the model has any, are the last rows.

    Raises:
        ShapeError: if the images are too small for the model.
    """
    layers = trace(model, (3, size, size), training=True)
    parts = dict(model.named_children())
    rows, heads, reduction = [], [], []
    for name, group in groupby(layers, key=lambda layer: layer.path.split(".")[0]):
        part = list(group)
        if isinstance(parts[name], InceptionAux):
            heads.append(_head_row(name, part))
        elif isinstance(parts[name], Inception):
            rows.append(_inception_row(name, part))
        elif _is_reduction(part):
            reduction = part
        else:
            rows.append(_layer_row(reduction, part))
            reduction = []
    return rows + sorted(heads, key=lambda row: row.type)


def total(rows: Sequence[Row], type: str = "total") -> Row:
    """One row with the sums: depth, parameters and operations."""
    depth = sum(row.depth or 0 for row in rows if not row.auxiliary)
    return Row(type, add(row.cost for row in rows), depth=depth)


def _convolutions(layers: Sequence[Layer]) -> list[Conv2d]:
    return [layer.module for layer in layers if isinstance(layer.module, Conv2d)]


def _depth(layers: Sequence[Layer]) -> int:
    return sum(1 for layer in layers if layer.weights)


def _is_reduction(layers: Sequence[Layer]) -> bool:
    """Whether it is a 1x1 convolution, which the table shows in the row of the larger one that follows."""
    return any(convolution.kernel_size == (1, 1) for convolution in _convolutions(layers))


def _output(shape: Shape) -> tuple[int, int, int]:
    channels, height, width = shape if len(shape) == 3 else (shape[0], 1, 1)
    return height, width, channels


def _patch(layer: Layer) -> str | None:
    """Size and stride of the window; an adaptive pool to one pixel has all the image for its window."""
    module = layer.module
    if isinstance(module, AdaptiveAvgPool2d):
        return f"{layer.input_shape[1]}x{layer.input_shape[2]}/1"
    if isinstance(module, Conv2d | MaxPool2d | AvgPool2d):
        (height, width), (stride, _) = (
            value if isinstance(value, tuple) else (value, value) for value in (module.kernel_size, module.stride)
        )
        return f"{height}x{width}/{stride}"
    return None


def _layer_row(reduction: Sequence[Layer], part: Sequence[Layer]) -> Row:
    """A row outside of the Inception modules: a convolution with its reduction, a pool, the classifier ..."""
    layers = [*reduction, *part]
    main = part[0]
    name = next(name for kind, name in NAMES.items() if isinstance(main.module, kind))
    if isinstance(main.module, Dropout):
        name += f" ({main.module.p:.0%})"
    return Row(
        name,
        cost(layers),
        _patch(main),
        _output(part[-1].output_shape),
        None if isinstance(main.module, Dropout | LocalResponseNorm) else _depth(layers),
        ch3x3red=_convolutions(reduction)[0].out_channels if reduction else None,
        ch3x3=_convolutions(part)[0].out_channels if reduction else None,
    )


def _inception_row(name: str, layers: Sequence[Layer]) -> Row:
    branches = [list(group) for _, group in groupby(layers, key=lambda layer: layer.path.split(".")[1])]
    (one,), (reduce3, three), (reduce5, five), (projection,) = map(_convolutions, branches)
    height, width, _ = _output(branches[0][-1].output_shape)
    return Row(
        f"inception ({name.removeprefix('inception')})",
        cost(layers),
        output=(height, width, sum(branch[-1].output_shape[0] for branch in branches)),
        depth=max(_depth(branch) for branch in branches),
        ch1x1=one.out_channels,
        ch3x3red=reduce3.out_channels,
        ch3x3=three.out_channels,
        ch5x5red=reduce5.out_channels,
        ch5x5=five.out_channels,
        pool_proj=projection.out_channels,
    )


def _head_row(name: str, layers: Sequence[Layer]) -> Row:
    return Row(
        f"auxiliary head {name.removeprefix('aux')}",
        cost(layers),
        output=_output(layers[-1].output_shape),
        depth=_depth(layers),
        auxiliary=True,
    )


def third_branch_size(model: Module) -> str | None:
    """Size of the filters under "#5x5", such as "3x3", or None if there is no Inception module."""
    modules = [module for module in model.modules() if isinstance(module, Inception)]
    sizes = {f"{h}x{w}" for module in modules for h, w in [_third(module).kernel_size]}
    return ", ".join(sorted(sizes)) or None


def _third(module: Inception) -> Conv2d:
    return [part for part in module.branch3.modules() if isinstance(part, Conv2d)][-1]


def _cell(row: Row, column: str) -> str:
    if column in Cost._fields:
        count = getattr(row.cost, column)
        return f"{count:,}" if count else ""
    value = getattr(row, column)
    if value is None:
        return ""
    return "x".join(map(str, value)) if column == "output" else str(value)


def render(rows: Sequence[Row]) -> str:
    """The rows as aligned text, with a line over and under the names of the columns."""
    cells = [list(COLUMNS.values()), *([_cell(row, column) for column in COLUMNS] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            text.ljust(width) if column in ("type", "patch", "output") else text.rjust(width)
            for column, text, width in zip(COLUMNS, line, widths, strict=True)
        ).rstrip()
        for line in cells
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:]])


def summary(model: Module, size: int = 224, aux: bool = False) -> str:
    """Table 1 for a GoogLeNet as text, with the total.

    Args:
        model: a `GoogLeNet` of either kind.
        size: height and width of the images, in pixels.
        aux: whether to show the auxiliary heads, and the total of training with them.

    Raises:
        ShapeError: if the images are too small for the model.
    """
    rows = table(model, size)
    main = [row for row in rows if not row.auxiliary]
    shown = [*main, total(main)]
    if aux and len(rows) > len(main):
        shown += [*rows[len(main) :], total(rows, "total with auxiliary heads")]
    lines = [
        f"{type(model).__name__} for images of 3x{size}x{size}; "
        "params: all that is trained; ops: multiply-adds for one image",
        "",
        render(shown),
    ]
    size_of_third = third_branch_size(model)
    if size_of_third not in (None, "5x5"):
        lines += ["", f'Under "#5x5" this network has {size_of_third} filters, as torchvision\'s has.']
    return "\n".join(lines)
