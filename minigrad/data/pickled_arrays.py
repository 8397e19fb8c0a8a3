"""Reading a pickle of plain values and NumPy arrays without running anything that it names.

A pickle is a program: it may call whatever it can name. The unpickler here lets it name only the four things
that a pickled array needs, and gives it stand-ins that merely record what they are told; the array is
then built from that record, by us, once its type, shape and size have been checked.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.kernels.errors import MinigradError

# How a pickle spells the types of plain numbers: "u1" is an unsigned integer of one byte.
PLAIN_TYPES = frozenset({"b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"})


def read_pickle(path: str | Path) -> Any:
    """The value pickled in `path`: dictionaries, lists, tuples, numbers, strings and plain NumPy arrays.

    Text of Python 2 arrives as bytes.

    Raises:
        MinigradError: the file cannot be read, is no pickle or a truncated one, or names anything else.
    """
    try:
        with Path(path).open("rb") as file:
            return _finished(_Unpickler(file, encoding="bytes").load())
    except OSError as error:
        raise MinigradError(f"{path} cannot be read: {error.strerror}") from error
    except MinigradError as error:
        raise MinigradError(f"{path}: {error}") from None
    except Exception as error:
        # The pickle module raises errors of many kinds on bad bytes, and documents that it may raise any.
        raise MinigradError(f"{path} is not a whole pickle of plain arrays: {error}") from error


class _DType:
    """Stands in for numpy.dtype: `spelling` such as "u1", and the byte order of its state."""

    def __init__(self, spelling: str | bytes, align: bool = False, copy: bool = False) -> None:
        self.spelling = spelling.decode("ascii") if isinstance(spelling, bytes) else spelling
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = order.decode("ascii") if isinstance(order, bytes) else order

    def real(self) -> np.dtype[Any]:
        if self.spelling not in PLAIN_TYPES or self.order not in ("|", "<", ">", "="):
            raise MinigradError(f"it holds an array of the type {self.order}{self.spelling!r}, not plain numbers")
        return np.dtype(self.spelling if self.order == "|" else f"{self.order}{self.spelling}")


class _Array:
    """Stands in for numpy.ndarray: shape, type, order and raw bytes, as told."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.raw = state

    def real(self) -> np.ndarray:
        dtype, raw = self.dtype.real(), self.raw
        if not isinstance(raw, bytes) or len(raw) != math.prod(self.shape) * dtype.itemsize:
            raise MinigradError(f"it holds an array of shape {self.shape} and type {dtype} with other bytes")
        array = np.frombuffer(raw, dtype).reshape(self.shape, order="F" if self.fortran else "C")
        return array.astype(dtype.newbyteorder("="))


def _reconstruct(kind: type, shape: object, typecode: object) -> _Array:
    return _Array()


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes for readers of Python 2: text to be encoded again."""
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    ALLOWED = {  # noqa: RUF012 - never changed
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _DType,
        ("_codecs", "encode"): _latin1,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise MinigradError(
                f"it wants to use {module}.{name}, and only plain NumPy arrays are allowed"
            ) from None


def _finished(value: Any) -> Any:
    """`value` with every stand-in replaced by the array it describes."""
    if isinstance(value, _Array):
        return value.real()
    if isinstance(value, dict):
        return {key: _finished(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_finished(item) for item in value)
    return value
