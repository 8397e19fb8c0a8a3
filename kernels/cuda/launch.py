"""Kernels in CUDA C++ files, and the one way to launch them on either device.

    SOURCE = CudaSource("pool2d/pool2d.cu", REAL=tuple(REAL.values()), VECTOR=("1", "4"))

    kernel = SOURCE.kernel("max_forward", REAL="float", VECTOR="4")
    kernel((rows,), (256,), x, y, np.int32(channels))

A file is specialised by preprocessor definitions. All the values that each may have stand in the CudaSource, so
that a test can compile every specialisation for every GPU; a kernel is compiled when it is launched first.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array, device_of
from ..errors import KernelError
from .compiler import KERNELS
from .emulation import EmulatedKernel, are_counted
from .gpu import GpuKernel

MOST_THREADS = 1024  # a block
LARGEST_GRID = (2**31 - 1, 65535, 65535)

SOURCES: dict[str, CudaSource] = {}
Size = tuple[int, int, int]
# Called with kernel, grid, block and bytes of dynamic shared memory before each launch.
launch_listeners: list[Callable[[CudaKernel, Size, Size, int], None]] = []
Defines = dict[str, str]


class CudaSource:
    """A `.cu` file by its path below kernels/, and the values that each of its definitions can have.

    Each kernel in it is declared `extern "C" __global__ void name(...)`, and its parameters are pointers,
    numbers and plain structs. `unless` tells combinations that are never asked for.

    Raises:
        KernelError: if there is no such file, or no kernel in it.
    """

    def __init__(
        self, path: str, unless: Callable[[Defines], bool] = lambda defines: False, **values: tuple[str, ...]
    ) -> None:
        self.path = path
        self.file = KERNELS / path
        self.values = values
        self.unless = unless
        self.kernels = _kernels(self.file, path)
        SOURCES[path] = self

    def specialisations(self) -> Iterator[Defines]:
        """Every set of definitions that the file may be compiled with."""
        for combination in itertools.product(*self.values.values()):
            defines = dict(zip(self.values, combination, strict=True))
            if not self.unless(defines):
                yield defines

    def kernel(self, name: str, **defines: Any) -> CudaKernel:
        """The kernel `name` of this file, compiled with `defines`.

        Raises:
            KernelError: if there is no such kernel, or a definition is missing or none of the declared ones.
        """
        return self._kernel(name, tuple((key, str(value)) for key, value in sorted(defines.items())))

    @functools.cache  # noqa: B019  (a source lives as long as the program)
    def _kernel(self, name: str, defines: tuple[tuple[str, str], ...]) -> CudaKernel:
        if name not in self.kernels:
            raise KernelError(f"{self.path} has no kernel {name!r}; it has: {', '.join(self.kernels)}")
        if dict(defines) not in list(self.specialisations()):
            given = ", ".join(f"{key}={value}" for key, value in defines) or "nothing"
            known = ", ".join(f"{key} in ({', '.join(values)})" for key, values in self.values.items())
            raise KernelError(
                f"{self.path} is not made to be compiled with {given}; it knows {known or 'nothing'}"
            )
        return CudaKernel(self, name, defines)

    def __repr__(self) -> str:
        return f"CudaSource({self.path!r})"


def _kernels(file: Path, path: str) -> tuple[str, ...]:
    if not file.exists():
        raise KernelError(f"there is no kernel file {path}")
    declaration = r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\('
    names = tuple(re.findall(declaration, file.read_text()))
    if not names:
        raise KernelError(f'{path} declares no kernel: extern "C" __global__ void name(...)')
    return names


class CudaKernel:
    """A kernel ready to be launched, on the device on which its arrays lie."""

    def __init__(self, source: CudaSource, name: str, defines: tuple[tuple[str, str], ...]) -> None:
        self.source, self.name, self.defines = source, name, defines

    @functools.cached_property
    def _emulated(self) -> EmulatedKernel:
        return EmulatedKernel(self.source.file, self.source.kernels, self.name, self.defines)

    @functools.cached_property
    def _counted(self) -> EmulatedKernel:
        return EmulatedKernel(self.source.file, self.source.kernels, self.name, self.defines, counting=True)

    @functools.cached_property
    def _on_gpu(self) -> GpuKernel:
        return GpuKernel(self.source.file, self.source.kernels, self.name, self.defines)

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        *arguments: Any,
        shared_bytes: int = 0,
        reaches: Sequence[Array] = (),
    ) -> None:
        """Launch it with `grid` blocks of `block` threads (one to three numbers each); no block, no launch.

        Args:
            arguments: arrays of one device, of which the kernel gets the address; None for a null pointer;
                NumPy scalars, whose type must be the parameter's; structs as NumPy arrays of no axes.
            shared_bytes: dynamic shared memory of each block.
            reaches: arrays whose addresses the kernel finds in memory. The emulator guards them like arguments,
                and counts them on from these.

        Raises:
            KernelError: if the kernel does not compile or is not launched; and, on the device "emulated", if the
                arguments are not what it takes or it does what it must not.
        """
        if 0 in grid:
            return
        grid3, block3 = _three(grid), _three(block)
        if not 0 < block3[0] * block3[1] * block3[2] <= MOST_THREADS:
            raise KernelError(f"kernel {self.name}: a block has 1 to {MOST_THREADS} threads, got {block}")
        if any(not 0 < size <= most for size, most in zip(grid3, LARGEST_GRID, strict=True)):
            raise KernelError(f"kernel {self.name}: a grid has up to {LARGEST_GRID} blocks, got {grid}")
        for listener in launch_listeners:
            listener(self, grid3, block3, shared_bytes)
        if self._device((*arguments, *reaches)) == "emulated":
            kernel = self._counted if are_counted() else self._emulated
            kernel(grid3, block3, arguments, shared_bytes, reaches)
        else:
            self._on_gpu(grid3, block3, arguments, shared_bytes)

    def _device(self, arguments: tuple[Any, ...]) -> str:
        """The one device of all arrays."""
        devices = {}
        for number, argument in enumerate(arguments):
            if argument is None or isinstance(argument, np.generic):
                continue
            if not hasattr(argument, "dtype"):
                raise KernelError(
                    f"kernel {self.name}, argument {number}: {argument!r} has no size of its own; "
                    "give a NumPy scalar such as np.int32(n)"
                )
            if argument.dtype.names is None:  # otherwise it is a struct, given by value
                devices[device_of(argument)] = number
        if len(devices) != 1 or "cpu" in devices:
            given = ", ".join(f"{device} (argument {number})" for device, number in devices.items()) or "none"
            raise KernelError(
                f"kernel {self.name}: its arrays must be all on 'cuda' or all on 'emulated', got {given}"
            )
        return next(iter(devices))

    def __repr__(self) -> str:
        given = ", ".join(f"{key}={value}" for key, value in self.defines)
        return f"CudaKernel({self.source.path}: {self.name}, {given})"


def _three(size: tuple[int, ...]) -> Size:
    x, y, z = (*size, 1, 1)[:3]
    return int(x), int(y), int(z)


def struct(*fields: int) -> np.ndarray:
    """A C struct whose fields, those of inner structs too, are `int` and hold these numbers; given by value."""
    return np.array(tuple(fields), np.dtype([(f"field{i}", np.int32) for i in range(len(fields))]))
