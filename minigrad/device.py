"""Devices by name, and the way between them."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np

from .autograd import Function, apply
from .kernels.arrays import Array, device_of, is_channels_last, on_host
from .kernels.cuda import compiler, emulated_numpy
from .kernels.cuda.graph import is_capturing
from .kernels.errors import DeviceError as DeviceError
from .tensor import Tensor

DEVICES = ("cpu", "cuda", "emulated")


def library(device: str) -> ModuleType:
    """The array library of a device: numpy for "cpu", cupy for "cuda", the emulator's numpy for "emulated".

    Raises:
        DeviceError: if there is no such device, CuPy is not installed, no GPU answers, or there is no g++.
    """
    if device == "cpu":
        return np
    missing = obstacle(device)
    if missing:
        raise DeviceError(f"device {device!r}: {missing}")
    if device == "emulated":
        return emulated_numpy
    import cupy

    return cupy


def obstacle(device: str) -> str | None:
    """What is missing for one of DEVICES on this machine, or None.

    Raises:
        DeviceError: if there is no device of that name.
    """
    if device not in DEVICES:
        raise DeviceError(f"there is no device {device!r}; use one of {', '.join(DEVICES)}")
    if device == "emulated":
        return compiler.obstacle()
    return _obstacle_of_cuda() if device == "cuda" else None


def _obstacle_of_cuda() -> str | None:
    try:
        import cupy
    except ImportError as error:
        return f"CuPy is missing ({error}); install minigrad[cuda12] or minigrad[cuda13], as fits the driver"
    if cupy.cuda.is_available():
        return None
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CuPy is installed, but no NVIDIA driver and GPU answer ({error})"
    return "CuPy and the driver are installed, but there is no GPU (CUDA_VISIBLE_DEVICES may hide it)"


def choose(name: str) -> str:
    """The device that a person means: `name` itself, and for "auto" a GPU where one answers, else the CPU.

    Raises:
        DeviceError: see `library`.
    """
    if name == "auto":
        return "cpu" if obstacle("cuda") else "cuda"
    library(name)
    return name


def describe(device: str) -> str:
    """`device` in a few words for a person, a GPU with its name and memory."""
    if device != "cuda":
        return device
    properties, memory = _gpu()
    return f"{device} ({properties['name'].decode()}, {memory / 2**30:.0f} GiB)"


@functools.cache
def _gpu() -> tuple[dict[str, Any], int]:
    """What the driver tells of the present GPU, and its memory in bytes."""
    cupy = library("cuda")
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    return properties, int(properties["totalGlobalMem"])


class Transfer(Function):
    """A copy on another device; the gradient travels back. What lies channels-last stays so."""

    saves_inputs = False

    def __init__(self, device: str) -> None:
        self.xp = library(device)

    def forward(self, x: Array) -> Array:
        self.source = device_of(x)
        return placed(on_host(x), self.xp)

    def backward(self, gradient: Tensor) -> Tensor:
        return transfer(gradient, self.source)


def placed(array: np.ndarray, xp: ModuleType) -> Array:
    """A NumPy array as an array of `xp`, of the same order in memory where it lies channels-last.

    CuPy knows the orders C and F only. A copy to a GPU is complete when this returns, so that the caller may write
    to its own array again.

    Raises:
        DeviceError: while a graph is captured, which would copy from the same place at each launch.
    """
    if xp is not np and is_capturing():
        raise DeviceError(
            "an array is copied from the host while a graph is captured: copy it before, into an array that stays"
        )
    options = {"blocking": True} if xp.__name__ == "cupy" else {}
    if array.ndim == 4 and is_channels_last(array):
        return xp.asarray(array.transpose(0, 2, 3, 1), **options).transpose(0, 3, 1, 2)
    return xp.asarray(array, **options)


def transfer(x: Tensor, device: str) -> Tensor:
    """`x` on `device`; itself where it lies there already.

    Raises:
        DeviceError: see `library`.
    """
    return x if x.device == device else apply(Transfer(device), x)
