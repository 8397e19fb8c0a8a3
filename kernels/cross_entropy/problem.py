"""The shape of a cross-entropy, as one hashable value."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import MinigradError, ShapeError


@dataclass(frozen=True)
class CrossEntropyProblem:
    """`rows` distributions over `classes`; rows whose target is `ignore_index` count for nothing.

    Raises:
        ShapeError: if there is no class.
        MinigradError: if label_smoothing is not between 0 and 1.
    """

    rows: int
    classes: int
    label_smoothing: float = 0.0
    ignore_index: int = -100
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.classes < 1 or self.rows < 0:
            raise ShapeError(
                f"cross_entropy: the logits must be (rows, classes) with at least one class, "
                f"got ({self.rows}, {self.classes})"
            )
        if not 0 <= self.label_smoothing <= 1:
            raise MinigradError(
                f"cross_entropy: label_smoothing must be between 0 and 1, got {self.label_smoothing}"
            )
