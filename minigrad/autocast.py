"""Mixed precision: products in 16 bits, everything that must not be rounded so coarsely in 32.

    with mg.autocast("bfloat16"):
        loss = model(images).loss(labels)

Inside, convolutions and linear layers take their operands as 16-bit numbers (and sum in float32), so activations
are of 16 bits and half as many bytes travel. Parameters stay float32: the cast is an operation on the tape, whose
gradient is cast back, and an optimiser's small steps are not lost. Statistics of batch normalisation and losses
are computed in float32 (Micikevicius et al., arXiv 1710.03740).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import ml_dtypes  # noqa: F401  (tells NumPy of bfloat16)
import numpy as np

from .kernels.errors import DTypeError
from .tensor import Tensor

SIXTEEN_BITS = ("float16", "bfloat16")

Operand = TypeVar("Operand")

_products: ContextVar[np.dtype | None] = ContextVar("minigrad_autocast", default=None)


@contextmanager
def autocast(dtype: str | None) -> Iterator[None]:
    """Compute convolutions and linear layers in `dtype` ("float16" or "bfloat16") inside a `with` block.

    None switches an outer `autocast` off.

    Raises:
        DTypeError: if `dtype` is another one.
    """
    if dtype is not None and dtype not in SIXTEEN_BITS:
        raise DTypeError(f"autocast: the dtype must be one of {', '.join(SIXTEEN_BITS)}, or None; got {dtype!r}")
    token = _products.set(None if dtype is None else np.dtype(dtype))
    try:
        yield
    finally:
        _products.reset(token)


def for_products(x: Operand) -> Operand:
    """`x` as an operand of a product: inside `autocast`, float32 and 16-bit numbers in its dtype."""
    if not isinstance(x, Tensor):
        return x
    dtype = dtype_in_products(x)
    return x if x.dtype == dtype else x.astype(dtype)  # type: ignore[return-value]


def dtype_in_products(x: Tensor) -> np.dtype:
    """The dtype that `for_products` gives `x`."""
    dtype = _products.get()
    return x.dtype if dtype is None or not (x.dtype == np.float32 or is_sixteen_bits(x)) else dtype


def for_sums(x: Operand) -> Operand:
    """`x` as an operand of long sums and exponentials: inside `autocast`, 16-bit numbers as float32."""
    if _products.get() is None or not isinstance(x, Tensor) or not is_sixteen_bits(x):
        return x
    return x.astype(np.float32)  # type: ignore[return-value]


def is_sixteen_bits(x: Tensor) -> bool:
    return x.dtype.itemsize == 2 and x.dtype.name in SIXTEEN_BITS
