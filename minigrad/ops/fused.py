"""Operations with a fast kernel for the gradient, and a formula for gradients of gradients.

A kernel gives the first gradient as a raw array, off the tape. Where the backward pass is itself
recorded (`create_graph=True`), the operation is written out once more in simple Tensor operations, and
these are differentiated instead, to any order.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..autograd import Function, Gradient, is_grad_enabled, set_grad_enabled
from ..backpropagation import grad
from ..kernels.arrays import Array
from ..tensor import Tensor


class Fused(Function):
    """A Function that states `kernel_gradients` (raw arrays) and `formula` (the forward in Tensor operations).

    Where there is no kernel for the gradient (`has_kernel = False`), the formula serves every order.
    """

    has_kernel = True

    def kernel_gradients(self, gradient: Array) -> Sequence[Array | None]:
        """The gradients of all inputs, from the raw gradient of the output."""
        raise NotImplementedError

    def formula(self, *inputs: Tensor) -> Tensor:
        """The same values as `forward`, from Tensor operations alone."""
        raise NotImplementedError

    def backward(self, gradient: Tensor) -> list[Gradient]:
        recorded = is_grad_enabled()
        if self.has_kernel and not recorded:
            found = self.kernel_gradients(gradient.data)
            return [None if array is None else Tensor(array) for array in found]
        with set_grad_enabled(True):
            # Handles of their own: where one input was made from another, each gets its own part of the gradient.
            handles = [x.reshape(x.shape) for x in self.inputs]
            wanted = [x for x, needed in zip(handles, self.needs_gradient, strict=True) if needed]
            gradients = iter(grad(self.formula(*handles), wanted, gradient, create_graph=recorded))
        return [next(gradients) if needed else None for needed in self.needs_gradient]
