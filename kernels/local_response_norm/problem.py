"""The shape and constants of a local response normalisation, as one hashable value."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ShapeError


@dataclass(frozen=True)
class LocalResponseNormProblem:
    """Normalisation of an input of `shape` (N, C, H, W) over windows of `size` channels.

    Raises:
        ShapeError: if the shape has not four axes or the window is empty.
    """

    shape: tuple[int, int, int, int]
    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if len(self.shape) != 4 or min(self.shape[1:]) < 1:
            raise ShapeError(
                "local_response_norm: the input must be (N, C, H, W) with at least one channel and pixel, "
                f"got {self.shape}"
            )
        if self.size < 1:
            raise ShapeError(f"local_response_norm: size must be at least 1, got {self.size}")

    @property
    def before(self) -> int:
        """Channels of the window that come before its own channel."""
        return self.size // 2

    @property
    def after(self) -> int:
        """Channels of the window that come after its own channel."""
        return (self.size - 1) // 2
