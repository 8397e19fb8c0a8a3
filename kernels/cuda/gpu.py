"""The last step of a launch on the device "cuda": NVRTC compiles the kernel, and CuPy keeps and launches it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import KernelError, SourceError
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
        module = cupy.RawModule(code=text, options=(*options(defines), *_cuda_headers(), headers))
        module.compile()
    except cupy.cuda.compiler.CompileException as error:
        raise SourceError(f"{source.name} does not compile: {first_error(str(error))}") from error
    except (ImportError, RuntimeError) as error:
        if "nvrtc" not in str(error).lower():
            raise
        raise KernelError(
            f"{source.name} cannot be compiled, as CuPy finds no NVRTC ({str(error).splitlines()[0]}): install "
            "minigrad[cuda12] or minigrad[cuda13], which bring it, or set CUDA_PATH"
        ) from error
    return module


def _cuda_headers() -> tuple[str, ...]:
    """Where the packages of NVIDIA put cuda_fp16.h; nothing where CuPy looks by itself, in CUDA_PATH."""
    try:
        from cuda.pathfinder import find_nvidia_header_directory
    except ImportError:
        return ()
    folder = find_nvidia_header_directory("cudart")
    return () if folder is None else (f"-I{folder}",)


class GpuKernel:
    """One kernel on a GPU, through CuPy.

    Raises:
        SourceError: if the file does not compile.
    """

    def __init__(
        self, source: Path, kernels: tuple[str, ...], name: str, defines: tuple[tuple[str, str], ...]
    ) -> None:
        self.name = name
        self._function = _module(source, defines).get_function(name)

    def __call__(self, grid: Size, block: Size, arguments: Sequence[Any], shared_bytes: int) -> None:
        import cupy

        try:
            if shared_bytes > MOST_STATIC_SHARED:
                self._function.max_dynamic_shared_size_bytes = shared_bytes
            self._function(grid, block, tuple(arguments), shared_mem=shared_bytes)
        except cupy.cuda.driver.CUDADriverError as error:
            raise KernelError(
                f"kernel {self.name} was not launched (grid {grid}, block {block}, {shared_bytes} bytes of shared "
                f"memory): {error}"
            ) from error
