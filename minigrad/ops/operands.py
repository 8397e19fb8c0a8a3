"""What people compute with: Tensors, arrays, numbers and lists of numbers, as the operations take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.errors import DTypeError
from ..tensor import Tensor


def as_operands(inputs: tuple[Any, ...], name: str) -> list[Any]:
    """Tensors and arrays as Tensors; Python scalars as they are, if at least one other is a Tensor.

    Raises:
        DTypeError: if there is something else; `name` is the operation that an error names.
    """
    operands = [x if isinstance(x, Tensor | bool | int | float) else as_tensor(x, name, inputs) for x in inputs]
    if not any(isinstance(x, Tensor) for x in operands):
        operands[0] = as_tensor(operands[0], name)
    return operands


def as_tensor(x: Any, name: str, beside: tuple[Any, ...] = ()) -> Tensor:
    """A Tensor itself; an array (whose memory is shared), a number or lists of numbers as a Tensor.

    Numbers and lists have no device: they go to that of the first Tensor in `beside`, or else to the CPU.

    Raises:
        DTypeError: if it is something else, or a list of Tensors, whose gradients would be lost.
    """
    if isinstance(x, Tensor):
        return x
    if isinstance(x, list | tuple) and any(isinstance(item, Tensor) and item.requires_grad for item in x):
        raise DTypeError(f"{name}: a {type(x).__name__} of Tensors would lose their gradients; stack() them first")
    try:
        if hasattr(x, "strides") and not isinstance(x, np.generic):
            return Tensor(x)
        values = Tensor(np.asarray(x))
        xp = next((other.xp for other in beside if isinstance(other, Tensor)), np)
        return values if xp is np else Tensor(xp.asarray(values.data))
    except (DTypeError, ValueError) as error:
        kind = f"{type(x).__name__} of dtype {x.dtype}" if hasattr(x, "dtype") else type(x).__name__
        raise DTypeError(
            f"{name}: cannot compute with a value of type {kind}; "
            "an operand is a Tensor, an array, a number, or evenly nested lists of numbers"
        ) from error
