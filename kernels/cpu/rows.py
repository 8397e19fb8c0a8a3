"""How the kernels walk channels-last activations: a pixel is a row of channels, a task a range of pixels."""

from __future__ import annotations

from .jit import jit


@jit
def span(task, tasks, items):  # type: ignore[no-untyped-def]
    """First item of a task and one past its last. It depends on nothing but the numbers given,
    so that sums are grouped in the same way by any number of threads."""
    return task * items // tasks, (task + 1) * items // tasks


@jit
def row(flat, pixel, distance, channels):  # type: ignore[no-untyped-def]
    """The channels of one pixel of a flat array as `buffers.pixel_rows` gives it.

    Loops over a slice index it from zero; with an offset added in every access, Numba's wrap-around of negative
    indices keeps LLVM from vectorising them.
    """
    return flat[pixel * distance : pixel * distance + channels]
