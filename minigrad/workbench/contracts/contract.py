"""What a contract is: how the workbench feeds an operation, and what it compares it with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes  # noqa: F401  (NumPy learns the name bfloat16 from it)
import numpy as np
from hypothesis.strategies import SearchStrategy

from minigrad.autograd import Function
from minigrad.kernels.registry import Operation
from minigrad.tensor import Tensor

Shape = tuple[int, ...]
Arguments = dict[str, Any]
Outputs = dict[str, tuple[Shape, str]]
Call = Callable[[], Any]
Traced = Callable[[Function, Sequence[Any]], Sequence[Any]]

TRACED_IMAGES = 2  # batch normalisation wants more than one value a channel, even where an image is one pixel


def first_axis(problem: Any, batch: int) -> Any:
    """`problem` with so many images, where `shape` begins with their number."""
    return replace(problem, shape=(batch, *problem.shape[1:]))


def without_batch(problem: Any) -> str:
    """The sizes of `shape` behind the first."""
    return "x".join(str(n) for n in problem.shape[1:])


@dataclass(frozen=True)
class Contract:
    """How the workbench feeds one operation.

    The work is that of the definition: every input is read once, every output written once, and additions,
    multiplications and comparisons count as the formula has them. A method that needs fewer of them
    (Winograd's) is credited with the definition's.

    Attributes:
        operation: the registry's.
        problem: the class of its problems.
        inputs: the names of its arguments after the problem, in order.
        draw: `draw(problem, generator)`: random arguments by those names: NumPy arrays, tuples of them, numbers.
        outputs: `outputs(problem)`: shape and dtype of each result by name, in order; of an operation that works
            in place, of the arrays that it changes.
        work: `work(problem)`: additions, multiplications and comparisons of the definition.
        odd: the strategy by which hypothesis draws small problems with awkward sizes.
        changes: the arguments that the operation changes in place, and then returns nothing.
        optional: the arguments that may be None; they are, on a model's layers.
        contiguous: the arguments that lie C-contiguous in training, those of four axes, too.
        may_share: whether results may be views of the arguments.
        may_be_float64: the results that may be more precise than `outputs` says.
        traced: `traced(function, inputs)`: the problems that a Function of the tape, applied to `inputs`, makes.
        stand_ins: `stand_ins(model, batch, size)`: problems by name, where a model's forward pass shows none.
        at_batch: `at_batch(problem, batch)`: the same problem for so many images.
        describe: a problem in a few words, without the size of its batch.
        torch: `torch(torch, problem, tensors)`: the same in PyTorch, as a function without arguments; or None.
        lists: the arguments that are tuples of arrays.
        unfit: `unfit(problem)`: the reason why no training has the problem, or None.
        sums_products: whether the first result is a sum of products of numbers from all arguments.
        tunable: whether training asks the registry with these very problems, so that what was the fastest on one
            can be looked up.
        names: `names(problem)`: numbers that are no fields of the problem, for the expressions of a CUDA file.
        parts: `parts(problem)`: for each array of a list where it goes in the result, and such numbers of it;
            a CUDA file is launched once for each.
    """

    operation: Operation
    problem: type
    inputs: str
    draw: Callable[[Any, np.random.Generator], Arguments]
    outputs: Callable[[Any], Outputs]
    work: Callable[[Any], int]
    odd: SearchStrategy[Any]
    changes: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    contiguous: tuple[str, ...] = ()
    may_share: bool = False
    may_be_float64: tuple[str, ...] = ()
    traced: Traced = lambda function, inputs: ()
    stand_ins: Callable[[str, int, int], Mapping[str, Any]] = lambda model, batch, size: {}
    at_batch: Callable[[Any, int], Any] = first_axis
    describe: Callable[[Any], str] = without_batch
    torch: Callable[[Any, Any, Arguments], Call] | None = None
    lists: tuple[str, ...] = ()
    unfit: Callable[[Any], str | None] = lambda problem: None
    sums_products: bool = False
    tunable: bool = True
    names: Callable[[Any], Mapping[str, int]] = lambda problem: {}
    parts: Callable[[Any], Sequence[tuple[tuple[slice, ...], Mapping[str, int]]]] | None = None

    def bytes_moved(self, problem: Any, arguments: Mapping[str, Any]) -> int:
        """Bytes of all arguments and results, each once."""
        read = sum(array.nbytes for array in arrays_in(tuple(arguments.values())))
        written = sum(math.prod(s) * np.dtype(dtype).itemsize for s, dtype in self.outputs(problem).values())
        return read + written


def arrays_in(arguments: Any) -> list[Any]:
    """All arrays among `arguments`, those in tuples too."""
    if isinstance(arguments, tuple | list):
        return [array for argument in arguments for array in arrays_in(argument)]
    return [arguments] if hasattr(arguments, "nbytes") and hasattr(arguments, "strides") else []


def run_by(*kinds: type[Function], for_input_gradient: bool = False) -> Traced:
    """The problem of each Function of some kinds; or only where the gradient of its first input is asked for."""

    def traced(function: Any, inputs: Sequence[Any]) -> Sequence[Any]:
        asked = not for_input_gradient or (isinstance(inputs[0], Tensor) and inputs[0].requires_grad)
        found: Any = function
        return [found.problem] if isinstance(function, kinds) and asked else []

    return traced


def like_input(name: str) -> Callable[[Any], Outputs]:
    """One result of the shape of the input."""
    return lambda problem: {name: (problem.shape, problem.dtype)}


def like_output(name: str) -> Callable[[Any], Outputs]:
    """One result of `output_shape`."""
    return lambda problem: {name: (problem.output_shape, problem.dtype)}


def per_element(count: int) -> Callable[[Any], int]:
    """The work where each element of `shape` costs so many operations."""
    return lambda problem: count * math.prod(problem.shape)


def by_autograd(torch: Any, forward: Call, input: Any, gradient: Any) -> Call:
    """PyTorch's backward pass of `forward()` to `input`, whose forward pass is made once, before."""
    with torch.enable_grad():
        y = forward()
    return lambda: torch.autograd.grad(y, input, gradient, retain_graph=True)
