"""Softmax and losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autocast import for_sums
from ...autograd import apply
from ...kernels.arrays import Array, dtype_name
from ...kernels.cross_entropy import CrossEntropyProblem
from ...kernels.cuda.graph import is_capturing
from ...kernels.errors import DTypeError, MinigradError, ShapeError
from ...ops import loss
from ...ops.axes import normalize_axis
from ...ops.elementwise import where
from ...ops.indexing import take
from ...ops.shape import permute_dims
from ...tensor import Tensor, is_floating
from .arguments import a_tensor, is_integer, number, real


def softmax(input: Tensor, dim: int = -1) -> Tensor:
    """exp(x) / sum of exp(x) along axis `dim`.

    Raises:
        ShapeError: if the axis does not exist.
        DTypeError: if the input is no Tensor of real numbers.
    """
    axis = normalize_axis(dim, real(input, "softmax").ndim, "softmax")
    return apply(loss.Softmax(axis), for_sums(input))


def log_softmax(input: Tensor, dim: int = -1) -> Tensor:
    """The logarithm of `softmax`, without the loss of precision; errors likewise."""
    axis = normalize_axis(dim, real(input, "log_softmax").ndim, "log_softmax")
    return apply(loss.LogSoftmax(axis), for_sums(input))


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy between softmax(input) and class indices.

    Args:
        input: logits (C,), (N, C) or (N, C, ...).
        target: class indices (integers) (), (N,) or (N, ...); or class probabilities of the shape of `input`.
        weight: how much each class counts (C,), or None.
        ignore_index: targets of this value count for nothing.
        reduction: "none", "sum", or "mean" over all targets that count, weighted.
        label_smoothing: the share of the target that is spread evenly over all classes
            (Szegedy et al., arXiv 1512.00567, section 7).

    Raises:
        ShapeError: if input and target do not fit, or a label is not in [0, C).
        DTypeError: if the targets are neither integers nor probabilities of the input's shape.
        MinigradError: if reduction or label_smoothing has no meaning.
    """
    name = "cross_entropy"
    label_smoothing = number(name, "label_smoothing", label_smoothing, most=1.0)
    if not is_integer(ignore_index) or not -(2**63) <= ignore_index < 2**63:
        raise MinigradError(f"{name}: ignore_index must be an integer of 64 bits, got {ignore_index!r}")
    real(input, name)
    a_tensor(name, "the targets", target)
    input = for_sums(input)
    axis = 0 if input.ndim == 1 else 1
    classes = input.shape[axis] if input.ndim else 0
    if weight is not None and a_tensor(name, "weight", weight).shape != (classes,):
        raise ShapeError(f"{name}: weight {weight.shape} does not fit the {classes} classes of {input.shape}")
    if is_floating(target.dtype):
        if target.shape != input.shape:
            raise DTypeError(
                f"{name}: targets of dtype {target.dtype} are probabilities and need the shape of the "
                f"logits {input.shape}, got {target.shape}; class indices must be integers"
            )
        smooth = target * (1.0 - label_smoothing) + label_smoothing / classes
        losses = -log_softmax(input, axis) * smooth
        if weight is not None:
            losses = losses * weight.reshape((-1,) + (1,) * (input.ndim - 1 - axis))
        losses = losses.sum(axis)
        return _reduce(losses, reduction, name)
    if target.dtype.kind not in "iu":
        raise DTypeError(f"{name}: the targets must be integers or probabilities, not {target.dtype}")
    expected = input.shape[:axis] + input.shape[axis + 1 :]
    if target.shape != expected or input.ndim == 0:
        raise ShapeError(f"{name}: logits {input.shape} need targets of shape {expected}, got {target.shape}")
    labels = target.reshape(-1)
    if not is_capturing():  # a graph's loss is NaN for such labels
        require_labels(labels.data, classes, ignore_index)
    rows = permute_dims(input, (0, *range(2, input.ndim), 1)) if input.ndim > 2 else input
    rows = rows.reshape(labels.size, classes)
    counts = labels != ignore_index
    counted = counts.astype(input.dtype)
    if weight is None:
        problem = CrossEntropyProblem(labels.size, classes, label_smoothing, ignore_index, dtype_name(input.dtype))
        losses = apply(loss.CrossEntropy(problem), rows, labels)
    else:
        losses = loss.cross_entropy_formula(rows, labels, label_smoothing, ignore_index, weight)
        counted = counted * take(weight, where(counts, labels, 0).astype(np.int64))
    return _reduce(losses.reshape(target.shape), reduction, name, counted.sum())


def require_labels(labels: Array, classes: int, ignore_index: int = -100) -> None:
    """Raise a ShapeError that names the first of `labels` (N,) that is no class; on a GPU, wait for the answer."""
    wrong = (labels != ignore_index) & ((labels < 0) | (labels >= classes))
    if wrong.any():
        at = int(wrong.argmax())
        raise ShapeError(
            f"cross_entropy: label {int(labels[at])} at position {at} is not one of the {classes} classes"
        )


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The squared difference of two Tensors of one shape.

    Args:
        reduction: "none", "sum" or "mean".

    A target of integers or booleans takes the dtype of the input, as in PyTorch; the result of two real dtypes is
    of the wider one.

    Raises:
        ShapeError: if the shapes differ (broadcasting is most often a mistake here).
        DTypeError: if the input is no Tensor of real numbers, or the target no Tensor.
        MinigradError: if reduction has no meaning.
    """
    real(input, "mse_loss")
    if not is_floating(a_tensor("mse_loss", "the target", target).dtype):
        target = target.astype(input.dtype)
    if input.shape != target.shape:
        raise ShapeError(f"mse_loss: input {input.shape} and target {target.shape} must have one shape")
    difference = for_sums(input) - for_sums(target)
    return _reduce(difference * difference, reduction, "mse_loss")


def _reduce(losses: Tensor, reduction: str, name: str, count: Any = None) -> Tensor:
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "mean":
        return losses.mean() if count is None else losses.sum() / count
    raise MinigradError(f'{name}: reduction must be "none", "sum" or "mean", got {reduction!r}')
