"""Devices by name, and the way between them."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from .autograd import Function, apply
from .kernels.arrays import Array, device_of
from .kernels.cuda import compiler, emulated_numpy
from .kernels.errors import MinigradError
from .tensor import Tensor

DEVICES = ("cpu", "cuda", "emulated")


class DeviceError(MinigradError, RuntimeError):
    """A device that does not exist, or not on this machine."""


def library(device: str) -> ModuleType:
    """The array library of a device: numpy for "cpu", cupy for "cuda", the emulator's numpy for "emulated".

    Raises:
        DeviceError: if there is no such device, CuPy is not installed, no GPU answers, or there is no g++.
    """
    if device == "cpu":
        return np
    if device == "emulated":
        missing = compiler.obstacle()
        if missing:
            raise DeviceError(f"device 'emulated': {missing}")
        return emulated_numpy
    if device != "cuda":
        raise DeviceError(f"there is no device {device!r}; use one of {', '.join(DEVICES)}")
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            "device 'cuda' needs CuPy: install minigrad[cuda12] or minigrad[cuda13], as fits the driver"
        ) from error
    if not cupy.cuda.is_available():
        raise DeviceError("device 'cuda': CuPy is installed, but no NVIDIA driver and GPU answer")
    return cupy


class Transfer(Function):
    """A copy on another device; the gradient travels back."""

    saves_inputs = False

    def __init__(self, device: str) -> None:
        self.xp = library(device)

    def forward(self, x: Array) -> Array:
        self.source = device_of(x)
        return self.xp.asarray(x if self.source == "cpu" else x.get())

    def backward(self, gradient: Tensor) -> Tensor:
        return transfer(gradient, self.source)


def transfer(x: Tensor, device: str) -> Tensor:
    """`x` on `device`; itself where it lies there already.

    Raises:
        DeviceError: see `library`.
    """
    return x if x.device == device else apply(Transfer(device), x)
