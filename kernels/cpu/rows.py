"""How the kernels walk channels-last activations: a pixel is a row of channels, a task a range of pixels."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import jit


@jit
def span(task, tasks, items):  # type: ignore[no-untyped-def]
    """First item of a task and one past its last. It depends on nothing but the numbers given,
    so that sums are grouped in the same way by any number of threads."""
    return task * items // tasks, (task + 1) * items // tasks


def _viewing(typing_context, flat, start, length):  # type: ignore[no-untyped-def]
    """`flat[start : start + length]` of a contiguous array, as bare as it can be.

    A slice would be clipped to the array and would count references: more to compile than most
    kernels have to say, and more to run than a short row takes. Loops over a view index it from zero; with an
    offset added in every access instead, the wrap-around of negative indices keeps LLVM from
    vectorising them.
    """
    array = types.Array(flat.dtype, 1, "C")

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        start, length = (
            context.cast(builder, value, kind, types.intp)
            for value, kind in zip(arguments[1:], signature.args[1:], strict=True)
        )
        source = context.make_array(flat)(context, builder, arguments[0])
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(flat.dtype)))
        result = context.make_array(array)(context, builder)
        data = builder.gep(source.data, [start])
        context.populate_array(result, data=data, shape=[length], strides=[size], itemsize=size, meminfo=None)
        return result._getvalue()

    return array(flat, start, length), generate


view: Any = intrinsic(_viewing)


@jit
def row(flat, pixel, distance, channels):  # type: ignore[no-untyped-def]
    """The channels of one pixel of a flat array as `buffers.pixel_rows` gives it."""
    return view(flat, pixel * distance, channels)
