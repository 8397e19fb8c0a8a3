"""Products of matrices: of a fully connected layer, and of its two gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis.strategies import DrawFn, composite, lists, sampled_from

from minigrad.kernels import matmul
from minigrad.kernels.matmul import MatmulProblem
from minigrad.ops.linalg import MatMul

from .contract import TRACED_IMAGES, Arguments, Call, Contract, like_output
from .drawing import Generator, normal
from .sizes import number


def _draw(problem: MatmulProblem, generator: Generator) -> Arguments:
    """Factors whose product is about as large as they are."""
    scale = 1 / math.sqrt(max(1, problem.left[-1]))
    right = normal(generator, problem.right, problem.dtype, scale)
    return {"left": normal(generator, problem.left, problem.dtype), "right": right}


@composite
def _odd(draw: DrawFn) -> MatmulProblem:
    """Some of them stacks, of which some broadcast."""
    m, k, n = (draw(number(1, 70)) for _ in range(3))
    stack = tuple(draw(lists(number(1, 3), max_size=2)))
    left = tuple(draw(sampled_from([1, size])) for size in stack)
    return MatmulProblem((*left, m, k), (*stack, k, n))


def _traced(function: Any, inputs: Sequence[Any]) -> Sequence[MatmulProblem]:
    """The product, and those of its gradients: by the left factor and by the right one."""
    if not isinstance(function, MatMul) or any(x.ndim != 2 for x in inputs):
        return []
    (m, k), n = inputs[0].shape, inputs[1].shape[1]
    right = MatmulProblem((n, m), (m, k)) if function.right_is_transposed else MatmulProblem((k, m), (m, n))
    gradients = MatmulProblem((m, n), (n, k)), right
    wanted = [problem for problem, x in zip(gradients, inputs, strict=True) if x.requires_grad]
    return [MatmulProblem((m, k), (k, n)), *wanted]


def _at_batch(problem: MatmulProblem, batch: int) -> MatmulProblem:
    """The axis as long as the traced batch is that of the images: no layer is so narrow."""
    left, right = (
        tuple(batch if size == TRACED_IMAGES else size for size in shape)
        for shape in (problem.left, problem.right)
    )
    return MatmulProblem(left, right, problem.dtype)


def _describe(problem: MatmulProblem) -> str:
    return " @ ".join("x".join(str(n) for n in shape) for shape in (problem.left, problem.right))


def _names(problem: MatmulProblem) -> Mapping[str, int]:
    """(rows, depth) @ (depth, columns), and how many such products there are."""
    rows, columns = problem.output_shape[-2:]
    return {"rows": rows, "depth": problem.left[-1], "columns": columns, "products": math.prod(problem.stack)}


def _torch(torch: Any, p: MatmulProblem, a: Arguments) -> Call:
    return lambda: torch.matmul(a["left"], a["right"])


CONTRACTS = (
    Contract(
        matmul.matmul,
        problem=MatmulProblem,
        inputs="left right",
        draw=_draw,
        outputs=like_output("y"),
        work=lambda problem: 2 * problem.left[-1] * math.prod(problem.output_shape),
        odd=_odd(),
        sums_products=True,
        contiguous=("left", "right"),
        traced=_traced,
        at_batch=_at_batch,
        describe=_describe,
        torch=_torch,
        names=_names,
    ),
)
