"""Arrays from addresses inside compiled code, for kernels that work on a table of many arrays."""

from __future__ import annotations

from typing import Any

import numba
from numba import types
from numba.extending import intrinsic

from .jit import jit


def _pointing(typing_context, like, address):  # type: ignore[no-untyped-def]
    """`address` as a pointer to elements of the dtype of `like`."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[1], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(like, types.int64), generate


_pointer: Any = intrinsic(_pointing)


@jit
def elements(like, address, start, length):  # type: ignore[no-untyped-def]
    """The `length` elements from number `start` on of the contiguous array at `address`.

    The caller keeps that array alive. `like` is any array of its dtype.
    """
    return numba.carray(_pointer(like, address + start * like.itemsize), (length,))
