"""What a module owns, told apart by type: a Parameter is trained, a Buffer is only kept."""

from __future__ import annotations

from typing import Any

from ..creation import asarray
from ..kernels.cpu.recording import spoil
from ..tensor import Tensor


class Parameter(Tensor):
    """A leaf that an optimiser changes.

    Args:
        data: a Tensor or an array, whose memory is shared, or nested lists.
        requires_grad: whether gradients are wanted.

    Raises:
        DTypeError: if a gradient is required of anything but real numbers.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        values = asarray(data)
        super().__init__(values.data, requires_grad)
        self.share_readers(values)

    def __repr__(self) -> str:
        return f"Parameter({super().__repr__()})"

    def __reduce__(self) -> tuple[Any, ...]:  # a copy, or what comes out of a pickle, is off every tape
        spoil("a Parameter is copied by Python")
        return type(self), (self.data, self.requires_grad)


class Buffer(Tensor):
    """State that is saved with the parameters but not trained, such as running statistics.

    Args:
        data: a Tensor or an array, whose memory is shared, or nested lists; of any dtype.
    """

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        values = asarray(data)
        super().__init__(values.data)
        self.share_readers(values)

    def __repr__(self) -> str:
        return f"Buffer({super().__repr__()})"

    def __reduce__(self) -> tuple[Any, ...]:
        spoil("a Buffer is copied by Python")
        return type(self), (self.data,)
