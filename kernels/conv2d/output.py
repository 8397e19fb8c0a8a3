"""Where a convolution writes its result."""

from __future__ import annotations

from ..arrays import Array, device_of, is_channels_last
from ..cpu import buffers as on_cpu
from ..cuda import buffers as on_gpu
from ..errors import ShapeError


def result(shape: tuple[int, int, int, int], like: Array, out: Array | None) -> Array:
    """`out`, or a new channels-last array of `shape` on the device of `like`.

    Raises:
        ShapeError: if `out` has another shape, dtype or device, or does not lie channels-last.
    """
    if out is None:
        if device_of(like) == "cpu":
            return on_cpu.empty_channels_last(shape, like.dtype)
        return on_gpu.empty_channels_last(shape, like.dtype, like=like)
    if out.shape != shape or out.dtype != like.dtype or device_of(out) != device_of(like):
        raise ShapeError(
            f"conv2d: out must be {like.dtype} of shape {shape} on {device_of(like)}, got {out.dtype} of shape "
            f"{out.shape} on {device_of(out)}"
        )
    if not is_channels_last(out):
        raise ShapeError(
            f"conv2d: out must lie channels-last, whole or as a slice of channels; got strides {out.strides}"
        )
    return out
