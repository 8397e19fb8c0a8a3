"""The affine map."""

from __future__ import annotations

from ...autocast import for_products
from ...kernels.errors import ShapeError
from ...tensor import Tensor
from .arguments import same_dtype


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input (..., inputs) times the transpose of weight (outputs, inputs), plus bias (outputs,).

    Raises:
        ShapeError: if the shapes do not fit.
        DTypeError: if the dtypes differ.
    """
    input, weight, bias = for_products(input), for_products(weight), for_products(bias)
    same_dtype("linear", {"bias": bias}, input=input, weight=weight)
    if weight.ndim != 2 or input.ndim < 1 or input.shape[-1] != weight.shape[1]:
        raise ShapeError(f"linear: input {input.shape} does not fit weight {weight.shape} (outputs, inputs)")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"linear: bias {bias.shape} does not fit weight {weight.shape}")
    y = input @ weight.T
    return y if bias is None else y + bias
