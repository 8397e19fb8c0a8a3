"""The last step of a launch on the device "cuda": NVRTC compiles the kernel, and CuPy keeps and launches it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import KernelError
from .compiler import KERNELS, first_error, source_digest

Size = tuple[int, int, int]
MOST_STATIC_SHARED = 48 << 10  # more dynamic shared memory must be asked for


def options(defines: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """NVRTC's options, without the architecture."""
    return "--std=c++17", f"-I{KERNELS}", *(f"-D{name}={value}" for name, value in defines)


@functools.cache
def _module(source: Path, defines: tuple[tuple[str, str], ...]) -> Any:
    import cupy

    # CuPy finds a binary again by text and options, and does not look into our headers: their hash is an option.
    headers = f"-DMINIGRAD_HEADERS=0x{source_digest().hex()[:15]}"
    text = f'#line 1 "{source.name}"\n{source.read_text()}'
    try:
        module = cupy.RawModule(code=text, options=(*options(defines), headers))
        module.compile()
    except cupy.cuda.compiler.CompileException as error:
        raise KernelError(f"{source.name} does not compile: {first_error(str(error))}") from error
    return module


class GpuKernel:
    """One kernel on a GPU, through CuPy.

    Raises:
        KernelError: if the file does not compile.
    """

    def __init__(
        self, source: Path, kernels: tuple[str, ...], name: str, defines: tuple[tuple[str, str], ...]
    ) -> None:
        self.name = name
        self._function = _module(source, defines).get_function(name)

    def __call__(self, grid: Size, block: Size, arguments: Sequence[Any], shared_bytes: int) -> None:
        from cupy.cuda.driver import CUDADriverError

        if shared_bytes > MOST_STATIC_SHARED:
            self._function.max_dynamic_shared_size_bytes = shared_bytes
        try:
            self._function(grid, block, tuple(arguments), shared_mem=shared_bytes)
        except CUDADriverError as error:
            raise KernelError(
                f"kernel {self.name} was not launched (grid {grid}, block {block}, {shared_bytes} bytes of shared "
                f"memory): {error}"
            ) from error
