"""Initial values of parameters, in place, under the names of `torch.nn.init`.

All draw from `minigrad.random`'s generator (or the one given), so `minigrad.manual_seed` makes them
repeat, and the same numbers come on every device.

    Glorot and Bengio, AISTATS 2010 (Xavier); He et al., arXiv 1502.01852 (Kaiming).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, ndtri

from ..kernels.cpu.recording import spoil
from ..kernels.errors import MinigradError, ShapeError
from ..random import Generator, default_generator
from ..tensor import Tensor

CHANGE = "an initialiser of nn.init"  # how an error of the tape calls what happened to a parameter


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a layer's weights make up for what its nonlinearity takes away.

    Args:
        nonlinearity: "linear", "conv2d", "sigmoid", "tanh", "relu" or "leaky_relu".
        param: leaky ReLU's slope for negative numbers; 0.01 if None.

    Raises:
        MinigradError: for another nonlinearity.
    """
    slope = 0.01 if param is None else param
    gains = {
        "linear": 1.0,
        "conv2d": 1.0,
        "sigmoid": 1.0,
        "tanh": 5.0 / 3.0,
        "relu": math.sqrt(2.0),
        "leaky_relu": math.sqrt(2.0 / (1.0 + slope**2)),
    }
    if nonlinearity not in gains:
        raise MinigradError(f"there is no gain for nonlinearity {nonlinearity!r}; there are: {', '.join(gains)}")
    return gains[nonlinearity]


def fan(tensor: Tensor) -> tuple[int, int]:
    """(fan in, fan out) of a weight (outputs, inputs, *window): how many numbers an output sums, an input feeds.

    Raises:
        ShapeError: if the weight has fewer than two axes.
    """
    if tensor.ndim < 2:
        raise ShapeError(
            f"the fan of a weight needs at least two axes (outputs, inputs), the shape is {tensor.shape}"
        )
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def _fill(tensor: Tensor, values: np.ndarray) -> Tensor:
    tensor.data[...] = tensor.xp.asarray(values.astype(tensor.dtype))
    tensor.note_change(CHANGE)
    return tensor


def _source(tensor: Tensor, generator: Generator | None) -> np.random.Generator:
    return (generator or default_generator).numpy(tensor.size)


def constant_(tensor: Tensor, value: float) -> Tensor:
    """`value` everywhere."""
    spoil("a Tensor is filled with a value")
    tensor.data[...] = value
    tensor.note_change(CHANGE)
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in [a, b)."""
    return _fill(tensor, a + (b - a) * _source(tensor, generator).random(tensor.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with this mean and standard deviation."""
    return _fill(tensor, mean + std * _source(tensor, generator).standard_normal(tensor.shape))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal with this mean and standard deviation, given that it lies in [a, b].

    `a` and `b` are values, as in `torch.nn.init.trunc_normal_`: a cut at two standard deviations around 0 is
    `a=-2 * std, b=2 * std`. Drawn exactly, by the inverse of the distribution function.

    Raises:
        MinigradError: if std is not positive, or a is not less than b.
    """
    if not std > 0 or not a < b:
        raise MinigradError(f"trunc_normal_: needs std > 0 and a < b, got std={std}, a={a}, b={b}")
    low, high = (a - mean) / std, (b - mean) / std
    # Far in the upper tail the distribution function is 1 to the last digit: draw from its mirror image instead.
    sign = -1.0 if low > 0 else 1.0
    first, last = sorted((ndtr(sign * low), ndtr(sign * high)))
    quantiles = first + (last - first) * _source(tensor, generator).random(tensor.shape)
    return _fill(tensor, np.clip(mean + std * sign * ndtri(quantiles), a, b))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform with variance 2 gain² / (fan in + fan out): Glorot and Bengio, equation 16."""
    bound = gain * math.sqrt(6.0 / sum(fan(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with variance 2 gain² / (fan in + fan out): Glorot and Bengio, equation 12 with a gain."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fan(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise MinigradError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(fan(tensor)[mode == "fan_out"])


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform with variance gain² / fan, which keeps the variance from layer to layer: He et al., equation 10.

    Args:
        tensor: a weight (outputs, inputs, *window).
        a: leaky ReLU's slope for negative numbers.
        mode: "fan_in" keeps the variance of activations, "fan_out" that of gradients.
        nonlinearity: what follows the layer; see `calculate_gain`.
        generator: where to draw from; the default one if None.
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with the variance of `kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)
