"""What each operation takes and gives, and how much work that is, by the operation's name.

The work is that of the definition: every input is read once, every output written once, and additions,
multiplications and comparisons count as the formula has them. A method that needs fewer of them
(Winograd's) is credited with the definition's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes  # noqa: F401  (NumPy learns the name bfloat16 from it)
import numpy as np

from minigrad.kernels import batch_norm, concat, conv2d, cross_entropy, dropout, local_response_norm, pool2d
from minigrad.kernels.errors import KernelError
from minigrad.kernels.registry import OPERATIONS, Operation

Shape = tuple[int, ...]
Arguments = dict[str, Any]
Outputs = dict[str, tuple[Shape, str]]


@dataclass(frozen=True)
class Contract:
    """How the workbench feeds one operation.

    Attributes:
        operation: the registry's.
        inputs: the names of its arguments after the problem, in order.
        draw: `draw(problem, generator)`: random arguments by those names, as NumPy arrays.
        outputs: `outputs(problem)`: shape and dtype of each result by name, in order.
        work: `work(problem)`: additions, multiplications and comparisons of the definition.
        may_share: whether results may be views of the arguments.
    """

    operation: Operation
    inputs: str
    draw: Callable[[Any, np.random.Generator], Arguments]
    outputs: Callable[[Any], Outputs]
    work: Callable[[Any], int]
    may_share: bool = False

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


def normal(generator: np.random.Generator, shape: Shape, dtype: str, scale: float = 1.0) -> np.ndarray:
    """Normal numbers, rounded to `dtype`."""
    wide = np.float64 if dtype == "float64" else np.float32
    values = generator.standard_normal(shape, wide)
    return (values if scale == 1 else values * wide(scale)).astype(np.dtype(dtype), copy=False)


def _filter(problem: conv2d.Conv2dProblem, generator: np.random.Generator) -> np.ndarray:
    """A weight whose outputs are about as large as its inputs."""
    shape = problem.weight_shape
    return normal(generator, shape, problem.dtype, 1 / math.sqrt(math.prod(shape[1:])))


def _draw_convolution(problem: conv2d.Conv2dProblem, generator: np.random.Generator) -> Arguments:
    x = normal(generator, problem.input_shape, problem.dtype)
    return {"x": x, "weight": _filter(problem, generator), "bias": None}


def _draw_input_gradient(problem: conv2d.Conv2dProblem, generator: np.random.Generator) -> Arguments:
    gy = normal(generator, problem.output_shape, problem.dtype)
    return {"gy": gy, "weight": _filter(problem, generator)}


def _draw_weight_gradient(problem: conv2d.Conv2dProblem, generator: np.random.Generator) -> Arguments:
    shapes = {"x": problem.input_shape, "gy": problem.output_shape}
    return {name: normal(generator, shape, problem.dtype) for name, shape in shapes.items()}


def _convolution_work(problem: conv2d.Conv2dProblem) -> int:
    return 2 * problem.multiply_adds


def _draw_input(problem: Any, generator: np.random.Generator) -> Arguments:
    return {"x": normal(generator, problem.shape, problem.dtype)}


def _draw_output_gradient(problem: Any, generator: np.random.Generator) -> Arguments:
    return {"gy": normal(generator, problem.output_shape, problem.dtype)}


def _maxima(problem: pool2d.Pool2dProblem, generator: np.random.Generator) -> np.ndarray:
    """The places of the maxima of some random input."""
    x = normal(generator, problem.shape, problem.dtype)
    indices: np.ndarray = pool2d.max_forward.variants["reference"].function(problem, x)[1]
    return indices


def _draw_max_gradient(problem: pool2d.Pool2dProblem, generator: np.random.Generator) -> Arguments:
    return {**_draw_output_gradient(problem, generator), "indices": _maxima(problem, generator)}


def _draw_max_gather(problem: pool2d.Pool2dProblem, generator: np.random.Generator) -> Arguments:
    return {**_draw_input(problem, generator), "indices": _maxima(problem, generator)}


def _like_input(name: str) -> Callable[[Any], Outputs]:
    return lambda problem: {name: (problem.shape, problem.dtype)}


def _like_output(name: str) -> Callable[[Any], Outputs]:
    return lambda problem: {name: (problem.output_shape, problem.dtype)}


def _window_work(problem: pool2d.Pool2dProblem) -> int:
    return math.prod(problem.output_shape) * math.prod(problem.kernel_size)


def _adaptive_work(problem: pool2d.AdaptiveAveragePool2dProblem) -> int:
    return math.prod(problem.shape[:2]) * sum(problem.lengths(0)) * sum(problem.lengths(1))


def _by_channel(problem: batch_norm.BatchNormProblem, generator: np.random.Generator) -> Arguments:
    channels, dtype = problem.shape[1], problem.statistics_dtype
    weight = generator.uniform(0.5, 1.5, channels).astype(dtype)
    return {"weight": weight, "bias": generator.uniform(-0.5, 0.5, channels).astype(dtype)}


def _draw_norm_training(problem: batch_norm.BatchNormProblem, generator: np.random.Generator) -> Arguments:
    return {**_draw_input(problem, generator), **_by_channel(problem, generator)}


def _draw_norm_evaluation(problem: batch_norm.BatchNormProblem, generator: np.random.Generator) -> Arguments:
    channels, dtype = problem.shape[1], problem.statistics_dtype
    return {
        **_draw_norm_training(problem, generator),
        "mean": generator.uniform(-0.5, 0.5, channels).astype(dtype),
        "variance": generator.uniform(0.5, 1.5, channels).astype(dtype),
    }


# How far from zero the outputs are kept where a gradient depends on their sign: a result that is zero but for
# rounding may rightly fall on either side, and its gradient then counts or does not.
MARGINS = {"float16": 1e-2, "bfloat16": 0.1}


def _draw_norm_gradient(problem: batch_norm.BatchNormProblem, generator: np.random.Generator) -> Arguments:
    arguments = _draw_norm_training(problem, generator)
    x, dtype = arguments["x"].astype(np.float64), problem.statistics_dtype
    mean = x.mean((0, 2, 3)).astype(dtype)
    inverse_std = (1 / np.sqrt(x.var((0, 2, 3)) + problem.epsilon)).astype(dtype)
    if problem.relu:
        mean_, scale, bias = (
            array.astype(np.float64).reshape(-1, 1, 1)
            for array in (mean, arguments["weight"] * inverse_std, arguments["bias"])
        )
        y = (x - mean_) * scale + bias
        margin = MARGINS.get(problem.dtype, 1e-3)
        moved = (np.copysign(2 * margin, y) - bias) / scale + mean_
        arguments["x"] = np.where(np.abs(y) < margin, moved, x).astype(np.dtype(problem.dtype))
    gy = normal(generator, problem.shape, problem.dtype)
    return {"gy": gy, **arguments, "mean": mean, "inverse_std": inverse_std}


def _norm_outputs(names: str) -> Callable[[Any], Outputs]:
    first, *others = names.split()

    def outputs(problem: batch_norm.BatchNormProblem) -> Outputs:
        by_channel = ((problem.shape[1],), problem.statistics_dtype)
        return {first: (problem.shape, problem.dtype), **dict.fromkeys(others, by_channel)}

    return outputs


def _per_element(count: int) -> Callable[[Any], int]:
    return lambda problem: count * math.prod(problem.shape)


def _draw_concat(problem: concat.ConcatProblem, generator: np.random.Generator) -> Arguments:
    return {"arrays": tuple(normal(generator, shape, problem.dtype) for shape in problem.shapes)}


def _draw_logits(problem: cross_entropy.CrossEntropyProblem, generator: np.random.Generator) -> Arguments:
    return {
        "logits": normal(generator, (problem.rows, problem.classes), problem.dtype),
        "targets": generator.integers(0, problem.classes, problem.rows),
    }


def _draw_loss_gradient(problem: cross_entropy.CrossEntropyProblem, generator: np.random.Generator) -> Arguments:
    return {"glosses": normal(generator, (problem.rows,), problem.dtype), **_draw_logits(problem, generator)}


def _draw_dropout(problem: dropout.DropoutProblem, generator: np.random.Generator) -> Arguments:
    seed, offset = (int(number) for number in generator.integers(0, 2**62, 2))
    return {**_draw_input(problem, generator), "seed": seed, "offset": offset}


def _draw_response(problem: Any, generator: np.random.Generator) -> Arguments:
    return {"gy": normal(generator, problem.shape, problem.dtype), **_draw_input(problem, generator)}


def _rows_work(each: int) -> Callable[[Any], int]:
    return lambda problem: each * problem.rows * problem.classes


CONTRACTS: dict[str, Contract] = {
    contract.operation.name: contract
    for contract in (
        Contract(conv2d.forward, "x weight bias", _draw_convolution, _like_output("y"), _convolution_work),
        Contract(conv2d.forward_relu, "x weight bias", _draw_convolution, _like_output("y"), _convolution_work),
        Contract(
            conv2d.input_gradient,
            "gy weight",
            _draw_input_gradient,
            lambda problem: {"gx": (problem.input_shape, problem.dtype)},
            _convolution_work,
        ),
        Contract(
            conv2d.weight_gradient,
            "x gy",
            _draw_weight_gradient,
            lambda problem: {"gweight": (problem.weight_shape, problem.dtype)},
            _convolution_work,
        ),
        Contract(
            pool2d.max_forward,
            "x",
            _draw_input,
            lambda p: {"y": (p.output_shape, p.dtype), "indices": (p.output_shape, p.index_dtype)},
            _window_work,
        ),
        Contract(
            pool2d.max_input_gradient,
            "gy indices",
            _draw_max_gradient,
            _like_input("gx"),
            lambda problem: math.prod(problem.output_shape),
        ),
        Contract(pool2d.max_gather, "x indices", _draw_max_gather, _like_output("y"), lambda problem: 0),
        Contract(pool2d.average_forward, "x", _draw_input, _like_output("y"), _window_work),
        Contract(pool2d.average_input_gradient, "gy", _draw_output_gradient, _like_input("gx"), _window_work),
        Contract(pool2d.adaptive_average_forward, "x", _draw_input, _like_output("y"), _adaptive_work),
        Contract(
            pool2d.adaptive_average_input_gradient, "gy", _draw_output_gradient, _like_input("gx"), _adaptive_work
        ),
        # mean 1, squared differences 3, scale and shift 2
        Contract(
            batch_norm.forward_training,
            "x weight bias",
            _draw_norm_training,
            _norm_outputs("y mean variance inverse_std"),
            _per_element(6),
        ),
        Contract(
            batch_norm.forward_evaluation,
            "x weight bias mean variance",
            _draw_norm_evaluation,
            _norm_outputs("y"),
            _per_element(3),
        ),
        # normalised x 2, gbias 1, gweight 2, gx 4
        Contract(
            batch_norm.backward_training,
            "gy x weight bias mean inverse_std",
            _draw_norm_gradient,
            _norm_outputs("gx gweight gbias"),
            _per_element(9),
        ),
        Contract(concat.forward, "arrays", _draw_concat, _like_output("y"), lambda problem: 0, may_share=True),
        Contract(
            cross_entropy.forward,
            "logits targets",
            _draw_logits,
            lambda problem: {"losses": ((problem.rows,), problem.dtype)},
            _rows_work(3),
        ),
        Contract(
            cross_entropy.input_gradient,
            "glosses logits targets",
            _draw_loss_gradient,
            lambda problem: {"glogits": ((problem.rows, problem.classes), problem.dtype)},
            _rows_work(5),
        ),
        Contract(dropout.forward, "x seed offset", _draw_dropout, _like_input("y"), _per_element(1)),
        # a square and an addition for each channel of the window; scale, shift, power, product
        Contract(
            local_response_norm.forward,
            "x",
            _draw_input,
            _like_input("y"),
            lambda problem: (2 * problem.size + 4) * math.prod(problem.shape),
        ),
        Contract(
            local_response_norm.input_gradient,
            "gy x",
            _draw_response,
            _like_input("gx"),
            lambda problem: (4 * problem.size + 8) * math.prod(problem.shape),
        ),
    )
}


def contracts_named(name: str) -> list[Contract]:
    """The contracts that a person means: "all", an operation, a family, or what operations begin with.

    Raises:
        KernelError: if there is no such operation, or none that the workbench can feed.
    """
    if name in CONTRACTS:
        return [CONTRACTS[name]]
    found = [
        contract
        for own, contract in CONTRACTS.items()
        if name in ("all", contract.operation.family) or own.startswith(f"{name}_")
    ]
    if found:
        return found
    if any(name in (own, operation.family) for own, operation in OPERATIONS.items()):
        raise KernelError(f"{name} cannot be measured: the workbench knows no arguments for it")
    raise KernelError(f"there is no operation {name!r}; there are: all, {', '.join(CONTRACTS)}")


def describe(problem: Any) -> str:
    """A problem in a few words, without the size of its batch."""
    if isinstance(problem, conv2d.Conv2dProblem):
        (h, w), (r, s), (p, q) = problem.input_size, problem.filter_size, problem.padding
        stride = "x".join(str(n) for n in sorted(set(problem.stride)))
        words = f"{problem.in_channels}x{h}x{w} -> {problem.out_channels}, {r}x{s}/{stride}"
        words += f" pad {p}" if p == q and p else f" pad {p},{q}" if p or q else ""
        words += f" dilation {problem.dilation}" if problem.dilation != (1, 1) else ""
        return words + (f" groups {problem.groups}" if problem.groups > 1 else "")
    if isinstance(problem, concat.ConcatProblem):
        parts = "+".join(str(shape[problem.axis]) for shape in problem.shapes)
        others = "x".join(str(n) for axis, n in enumerate(problem.shapes[0]) if axis not in (0, problem.axis))
        return f"({parts})x{others}" if problem.axis else f"({parts})x{others} along axis 0"
    if isinstance(problem, cross_entropy.CrossEntropyProblem):
        return f"{problem.classes} classes"
    words = "x".join(str(n) for n in problem.shape[1:])
    if isinstance(problem, pool2d.Pool2dProblem):
        (r, s), (p, q) = problem.kernel_size, problem.padding
        words += f", {r}x{s}/{problem.stride[0]}" + (f" pad {p}" if p or q else "")
    if isinstance(problem, pool2d.AdaptiveAveragePool2dProblem):
        words += " -> {}x{}".format(*problem.output_size)
    if isinstance(problem, batch_norm.BatchNormProblem) and problem.relu:
        words += ", relu"
    return words
