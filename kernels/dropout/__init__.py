"""Dropout with a mask that is drawn from a counter and never stored.

    forward(problem, x, seed, offset, base=None) -> y = x * mask / (1 - probability)

The mask is the same function of (seed, offset) on every device and for every memory layout: element
i of x, counted in row-major order of its logical shape, draws word i % 4 of Philox block
offset + i // 4 (`kernels.philox`) and is kept where word / 2**32 >= probability. The gradient is the
same call with gy in place of x. A dropped element is multiplied by zero, so NaN stays NaN;
probability 1 drops everything.

`problem.blocks` is by how much the offset must advance for the next draw to be independent. x and y
have any number of axes, `problem.dtype` and any strides; seed and offset are integers, taken modulo
2**64. `base` is a uint64 number on the device of x that is added to the offset: a captured CUDA graph draws
another mask at each launch where it is changed in between.

Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014), in the
inverted form that needs no change at test time.
"""

from ..registry import Operation
from .problem import DropoutProblem

forward = Operation("dropout")

from . import cpu, cuda, reference  # noqa: E402  (they register their variants on the operation above)

__all__ = ["DropoutProblem", "cpu", "cuda", "forward", "reference"]
