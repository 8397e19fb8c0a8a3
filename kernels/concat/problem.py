"""The shapes of a concatenation, as one hashable value."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ShapeError


@dataclass(frozen=True)
class ConcatProblem:
    """Arrays of `shapes` joined along `axis` (0 <= axis < number of dimensions).

    Raises:
        ShapeError: if there is nothing to join, or the shapes differ in another axis than `axis`.
    """

    shapes: tuple[tuple[int, ...], ...]
    axis: int
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not self.shapes:
            raise ShapeError("concat: at least one array is needed")
        first = self.shapes[0]
        if not 0 <= self.axis < len(first):
            raise ShapeError(f"concat: axis {self.axis} is out of range for arrays of shape {first}")
        for shape in self.shapes:
            if self._others(shape) != self._others(first) or len(shape) != len(first):
                raise ShapeError(
                    f"concat: arrays must have the same shape except along axis {self.axis}, "
                    f"got {first} and {shape}"
                )

    def _others(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[: self.axis] + shape[self.axis + 1 :]

    @property
    def output_shape(self) -> tuple[int, ...]:
        first = self.shapes[0]
        length = sum(shape[self.axis] for shape in self.shapes)
        return (*first[: self.axis], length, *first[self.axis + 1 :])
