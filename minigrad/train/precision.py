"""The precision that a run computes in: what `--precision` means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from minigrad.autocast import autocast
from minigrad.kernels.registry import use_kernels
from minigrad.tensor import Tensor

from .config import ConfigError

# The kernels that multiply float32 numbers rounded to tf32 (10 bits of fraction); sums are float32.
TF32_KERNELS = {"conv2d": ("implicit_gemm_tensor_core", "auto"), "matmul": ("tensor_core", "auto")}


@contextmanager
def computing_in(precision: str, parameters: Iterable[Tensor] = ()) -> Iterator[None]:
    """Compute convolutions and linear layers in `precision`, one of `config.PRECISIONS`, inside a `with` block.

    What is needed of `parameters` in 16 bits is made at once.
    """
    if precision == "float32":
        yield
    elif precision == "tf32":
        with use_kernels(**TF32_KERNELS):
            yield
    else:
        with autocast(precision, parameters):
            yield


def require_precision(precision: str, device: str) -> None:
    """Raise a ConfigError where `device` has no kernels for `precision`."""
    if precision != "float32" and device == "cpu":
        raise ConfigError(
            f"--precision {precision} needs --device cuda or emulated: the kernels of the CPU compute in float32"
        )
