"""Batch normalisation, local response normalisation and dropout."""

from __future__ import annotations

import math

from ... import random
from ...autocast import is_sixteen_bits
from ...autograd import apply
from ...kernels import batch_norm as kernels
from ...kernels.arrays import dtype_name
from ...kernels.batch_norm import BatchNormProblem
from ...kernels.cpu.recording import again
from ...kernels.dropout import DropoutProblem
from ...kernels.errors import MinigradError, ShapeError
from ...kernels.local_response_norm import LocalResponseNormProblem
from ...ops import normalization
from ...ops.conv import Moments
from ...ops.dropout import Dropout
from ...ops.elementwise import of_dtype
from ...places import Place
from ...tensor import Tensor
from .arguments import four, integer, known_activation, number, real, same_dtype, switch


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    activation: str | None = None,
    moments: Moments | None = None,
    place: Place | None = None,
    batches: Tensor | None = None,
) -> Tensor:
    """Normalise each channel to mean 0 and variance 1, then scale and shift it.

    y = weight * (x - mean) / sqrt(variance + eps) + bias (Ioffe and Szegedy, arXiv 1502.03167, algorithm 1)

    Args:
        input: (N, C) or (N, C, ...). Where it has 16 bits, everything else may be, and statistics are, float32.
        running_mean, running_var: (C,). In training they move towards the batch's statistics (the
            variance with n - 1) by `momentum`, in place; in evaluation they are what is normalised by.
            Both may be None, and then the batch's statistics always are.
        momentum: None, with `batches`, for the plain average over all batches.
        weight, bias: (C,), 1 and 0 if None.
        activation: "relu" for max(0, y) in the same pass over memory, or None.
        moments: those of the input, if they are known.
        place: where the result is best written, in training.
        batches: () int64, how many batches the running statistics have seen: counted up in training, in place.

    Raises:
        ShapeError: if shapes do not fit, or training has only one value a channel.
        DTypeError: if the dtypes differ or are not real.
        MinigradError: if momentum (0 to 1), eps (0 or more) or activation has no meaning, or only one of the
            running statistics is given.
    """
    name = "batch_norm"
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    wide = "float32" if is_sixteen_bits(real(input, name)) else None  # what may differ from the input
    # A dtype equals None where it is NumPy's default, float64.
    narrow = {key: None if wide and isinstance(x, Tensor) and x.dtype == wide else x for key, x in given.items()}
    dtype = same_dtype(name, narrow, input=input)
    training = switch(name, "training", training)
    if momentum is None and batches is None:
        raise MinigradError(
            f"{name}: momentum must be a number, not None; nn.BatchNorm2d(momentum=None) counts its steps and "
            "averages over them"
        )
    momentum = None if momentum is None else number(name, "momentum", momentum, most=1.0)
    eps = number(name, "eps", eps)
    if (running_mean is None) != (running_var is None):
        raise MinigradError(f"{name}: running_mean and running_var must both be given, or both be None")
    known_activation(name, activation)
    if input.ndim < 2:
        raise ShapeError(f"{name}: the input must be (N, C, ...), got shape {input.shape}")
    channels = input.shape[1]
    for key, value in given.items():
        if value is not None and value.shape != (channels,):
            raise ShapeError(f"{name}: {key} has shape {value.shape}, input {input.shape} needs ({channels},)")
    x = _as_images(input)
    problem = BatchNormProblem(four(x), eps, activation == "relu", dtype)
    xp, statistics = x.xp, problem.statistics_dtype
    scale = Tensor(xp.ones(channels, statistics)) if weight is None else of_dtype(weight, statistics)
    shift = Tensor(xp.zeros(channels, statistics)) if bias is None else of_dtype(bias, statistics)
    if training or running_mean is None or running_var is None:
        count = input.size // max(1, channels)
        if training and count < 2:
            raise ShapeError(
                f"{name}: training needs more than one value a channel, and the input {input.shape} has {count}: "
                "use a larger batch or larger images"
            )
        known = None if moments is None else moments.arrays
        function = normalization.BatchNormTraining(problem, known, place)
        moving = () if running_mean is None or running_var is None or not training else (running_mean, running_var)
        if moving:
            function.running = _running(*moving, momentum, batches)
        y = apply(function, x, scale, shift)
        for statistic in moving:
            statistic.note_change("batch_norm in training mode, which moves running statistics")
    else:
        fixed = of_dtype(running_mean, statistics), of_dtype(running_var, statistics)
        y = apply(normalization.BatchNormEvaluation(problem), x, scale, shift, *fixed)
    return y if input.ndim == 4 else y.reshape(input.shape)


def _running(mean: Tensor, variance: Tensor, momentum: float | None, batches: Tensor | None) -> kernels.Running:
    if momentum is not None:
        return kernels.Running(mean.data, variance.data, momentum, None if batches is None else batches.data)
    assert batches is not None
    counted = batches.data
    again(lambda: counted.__iadd__(1))
    return kernels.Running(mean.data, variance.data, again(lambda: 1.0 / counted))  # nobody waits for that number


def _as_images(x: Tensor) -> Tensor:
    """(N, C, ...) as (N, C, H, 1), unless it is (N, C, H, W) already."""
    return x if x.ndim == 4 else x.reshape(*x.shape[:2], math.prod(x.shape[2:]), 1)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Normalise by the activity of `size` neighbouring channels (Krizhevsky et al., NIPS 2012, section 3.3).

    y[c] = x[c] * (k + alpha / size * sum of x[j]**2 over c - size//2 <= j <= c + (size-1)//2) ** -beta

    Args:
        input: (N, C, ...) with at least three axes; three are (N, C, W), not one image.

    Raises:
        ShapeError: if the size is not a positive integer, or there are fewer axes.
        DTypeError: if the input is no Tensor of real numbers.
        MinigradError: if alpha, beta or k is not a number.
    """
    name = "local_response_norm"
    if real(input, name).ndim < 3:
        raise ShapeError(f"{name}: the input must be (N, C, ...) with three axes or more, got {input.shape}")
    x = _as_images(input)
    size, lowest = integer(name, "size", size), -math.inf
    # A window of twice as many channels holds all of them, wherever its centre is: no larger one is needed.
    window = min(size, max(1, 2 * x.shape[1]))
    problem = LocalResponseNormProblem(
        four(x),
        window,
        number(name, "alpha", alpha, lowest) * (window / size),
        number(name, "beta", beta, lowest),
        number(name, "k", k, lowest),
        dtype_name(x.dtype),
    )
    y = apply(normalization.LocalResponseNorm(problem), x)
    return y if input.ndim == 4 else y.reshape(input.shape)


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, generator: random.Generator | None = None
) -> Tensor:
    """Set each element to zero with probability `p` and divide the others by 1 - p; change nothing in evaluation.

    The mask comes from the counter-based stream of `generator` (`mg.random.default_generator` if None) and is
    the same on every device.

    Raises:
        MinigradError: if `p` is not a probability, or `generator` no generator of minigrad's.
        DTypeError: if the input is no Tensor of real numbers.
    """
    real(input, "dropout")
    p = number("dropout", "p", p, most=1.0)
    training = switch("dropout", "training", training)
    if not isinstance(generator, random.Generator | None):
        raise MinigradError(
            f"dropout: generator must be a mg.random.Generator or None, not {type(generator).__name__}"
        )
    if not training or p == 0.0:
        return input
    generator = generator or random.default_generator
    problem = DropoutProblem(input.shape, p, dtype_name(input.dtype))
    return apply(Dropout(problem, generator.seed, *generator.draw(problem.blocks)), input)
