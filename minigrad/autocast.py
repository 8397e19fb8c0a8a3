"""Mixed precision: products in 16 bits, everything that must not be rounded so coarsely in 32.

    with mg.autocast("bfloat16"):
        loss = model(images).loss(labels)

Inside, convolutions and linear layers take their operands as 16-bit numbers (and sum in float32), so activations
are of 16 bits and half as many bytes travel. Parameters stay float32: the cast is an operation on the tape, whose
gradient is cast back, and an optimiser's small steps are not lost. Statistics of batch normalisation and losses
are computed in float32 (Micikevicius et al., arXiv 1710.03740).

    with mg.autocast("bfloat16", model.parameters()):

makes the 16-bit copies of all parameters at once, in place of one by one as layers need them: for a training step
on a GPU, where each would be a launch.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TypeVar

import ml_dtypes  # noqa: F401  (tells NumPy of bfloat16)
import numpy as np

from .autograd import apply
from .casts import Cast
from .kernels.arrays import Array
from .kernels.errors import DTypeError
from .kernels.optimizer_steps.casts import side_by_side
from .readers import Reader
from .tensor import Tensor

SIXTEEN_BITS = ("float16", "bfloat16")

Operand = TypeVar("Operand")


class _Copy:
    """The numbers of a parameter in 16 bits; a reader of its memory (`readers.py`), which is told of changes."""

    name, freed, spoiled_by = "autocast", False, ""

    def __init__(self, source: Tensor, array: Array) -> None:
        self.source, self.original, self.array = source, source.data, array

    def holds(self, x: Tensor) -> bool:
        """Whether the copy is of the numbers that `x` has now."""
        return self.source is x and self.original is x.data and not self.spoiled_by


_products: ContextVar[np.dtype | None] = ContextVar("minigrad_autocast", default=None)
_copies: ContextVar[Mapping[int, _Copy]] = ContextVar("minigrad_copies", default=MappingProxyType({}))


@contextmanager
def autocast(dtype: str | None, parameters: Iterable[Tensor] = ()) -> Iterator[None]:
    """Compute convolutions and linear layers in `dtype` ("float16" or "bfloat16") inside a `with` block.

    None switches an outer `autocast` off.

    Args:
        dtype: of the products' operands.
        parameters: those of float32 are cast now, all by one launch on a GPU. One that an optimiser changes
            inside the block is cast anew from then on; to assign to its elements there is refused.

    Raises:
        DTypeError: if `dtype` is another one.
    """
    if dtype is not None and dtype not in SIXTEEN_BITS:
        raise DTypeError(f"autocast: the dtype must be one of {', '.join(SIXTEEN_BITS)}, or None; got {dtype!r}")
    products = None if dtype is None else np.dtype(dtype)
    tokens = _products.set(products), _copies.set({} if products is None else _copied(parameters, products))
    try:
        yield
    finally:
        _products.reset(tokens[0])
        _copies.reset(tokens[1])


def _copied(parameters: Iterable[Tensor], dtype: np.dtype) -> dict[int, _Copy]:
    """The copies of the float32 parameters, by their ids."""
    by_device: dict[str, list[Tensor]] = defaultdict(list)
    for parameter in parameters:
        if parameter.dtype == np.float32:
            by_device[parameter.device].append(parameter)
    copies = [
        _Copy(parameter, array)
        for alike in by_device.values()
        for parameter, array in zip(alike, side_by_side([p.data for p in alike], dtype), strict=True)
    ]
    for copy in copies:
        reader: weakref.ref[Reader] = weakref.ref(copy)
        copy.source.note_reader(reader)
    return {id(copy.source): copy for copy in copies}


def for_products(x: Operand) -> Operand:
    """`x` as an operand of a product: inside `autocast`, float32 and 16-bit numbers in its dtype."""
    if not isinstance(x, Tensor):
        return x
    dtype = dtype_in_products(x)
    if x.dtype == dtype:
        return x
    copy = _copies.get().get(id(x))
    known = copy.array if copy is not None and copy.holds(x) else None
    return apply(Cast(dtype, known), x)  # type: ignore[return-value]


def present_dtype() -> np.dtype | None:
    """What the innermost `autocast` block computes products in; None outside of any, and where it is off."""
    return _products.get()


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
