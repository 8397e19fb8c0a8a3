"""The confusion matrix: how many images of each class were taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.kernels.errors import ShapeError

# A table wider than this fills no terminal; then the worst confusions are listed instead.
MOST_COLUMNS = 20
WORST = 10


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """int64 (classes, classes): entry [i, j] counts the images of class i that were predicted as class j.

    Args:
        labels, predictions: class indices, integer arrays of the same shape (N,).

    Raises:
        ShapeError: shapes that differ, or an index outside 0..classes-1.
    """
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ShapeError(f"labels {labels.shape} and predictions {predictions.shape} need one shape (N,)")
    for name, indices in (("labels", labels), ("predictions", predictions)):
        if indices.size and (indices.min() < 0 or indices.max() >= classes):
            raise ShapeError(f"{name} hold {indices.min()}..{indices.max()}, outside 0..{classes - 1}")
    pairs = labels.astype(np.int64) * classes + predictions
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def render_confusion(matrix: np.ndarray, class_names: Sequence[str]) -> str:
    """`matrix` as lines of text: rows are the true classes, columns the predictions; then the share right.

    Zeros are dots, so that the mistakes stand out. Of more than 20 classes only the worst confusions are listed.
    """
    if len(class_names) > MOST_COLUMNS:
        return _worst(matrix, class_names)
    names = [_shortened(name, 12) for name in class_names]
    name_width = max(len("true"), *map(len, names))
    heads = [_shortened(name, 5) for name in class_names]
    width = max(len(str(matrix.max())), *map(len, heads)) + 1
    lines = [
        f"{'true':>{name_width}} |" + "".join(f"{head:>{width}}" for head in heads) + " | right",
        "-" * (name_width + 1) + "+" + "-" * (width * len(names)) + "-+-------",
    ]
    for index, name in enumerate(names):
        cells = "".join(f"{count or '·':>{width}}" for count in matrix[index])
        lines.append(f"{name:>{name_width}} |{cells} | {_share(matrix[index, index], matrix[index].sum())}")
    return "\n".join(lines)


def _worst(matrix: np.ndarray, class_names: Sequence[str]) -> str:
    mistakes = matrix.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(mistakes, axis=None, kind="stable")[::-1][:WORST]
    lines = [f"right: {_share(np.trace(matrix), matrix.sum())}; the commonest mistakes:"]
    for true, predicted in zip(*np.unravel_index(order, matrix.shape), strict=True):
        if mistakes[true, predicted]:
            lines.append(
                f"{mistakes[true, predicted]:>6} of {matrix[true].sum()} {class_names[true]!r} "
                f"taken for {class_names[predicted]!r}"
            )
    return "\n".join(lines)


def _share(right: int, total: int) -> str:
    return f"{right / total:6.1%}" if total else "     -"


def _shortened(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
