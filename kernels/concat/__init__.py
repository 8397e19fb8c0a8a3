"""Joining arrays along one axis.

    forward(problem, arrays) -> array      arrays: a tuple with the shapes of `problem.shapes`, of any strides

The result may share memory with the arguments: where the arrays are adjacent slices of one
buffer in order, as `SideBySide` gives places to those who write them, it is a view of that buffer and nothing is
copied. Otherwise (N, C, H, W) arrays joined along the channels give an array that lies channels-last.
"""

from ..registry import Operation
from .problem import ConcatProblem
from .side_by_side import SideBySide

forward = Operation("concat")

from . import cpu, cuda, reference  # noqa: E402  (they register their variants on the operation above)

__all__ = ["ConcatProblem", "SideBySide", "cpu", "cuda", "forward", "reference"]
