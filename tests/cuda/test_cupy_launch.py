"""What a launch hands to CuPy, and what becomes of its errors; a recorder stands in for CuPy's compiler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claims import fake_cupy
from minigrad.kernels.cuda import compiler, gpu
from minigrad.kernels.cuda.gpu import GpuKernel
from minigrad.kernels.errors import KernelError, SourceError

SOURCE = 'extern "C" __global__ void fill(float* y) {}\n'


class Recorder:
    """`cupy.RawModule` and the one kernel that it gives."""

    def __init__(self, cupy: Any) -> None:
        self.cupy, self.launches = cupy, []
        self.compile_error = self.launch_error = ""
        self.most_shared = 0

    def __call__(self, *, code: str, options: tuple[str, ...]) -> Recorder:
        self.code, self.options = code, options
        return self

    def compile(self) -> None:
        if self.compile_error:
            raise self.cupy.cuda.compiler.CompileException(self.compile_error)

    def get_function(self, name: str) -> Any:
        recorder = self

        class Kernel:
            @property
            def max_dynamic_shared_size_bytes(self) -> int:
                return recorder.most_shared

            @max_dynamic_shared_size_bytes.setter
            def max_dynamic_shared_size_bytes(self, size: int) -> None:
                if size > 227 << 10:
                    raise recorder.cupy.cuda.driver.CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
                recorder.most_shared = size

            def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
                if recorder.launch_error:
                    raise recorder.cupy.cuda.driver.CUDADriverError(recorder.launch_error)
                recorder.launches.append((name, grid, block, args, shared_mem))

        return Kernel()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with fake_cupy.installed() as cupy:
        cupy.RawModule = Recorder(cupy)
        gpu._module.cache_clear()
        yield cupy.RawModule
        gpu._module.cache_clear()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fill.cu"
    path.write_text(SOURCE)
    return path


def test_the_compiler_gets_the_text_its_name_and_the_headers(recorder: Recorder, file: Path) -> None:
    GpuKernel(file, ("fill",), "fill", (("REAL", "float"),))
    assert recorder.code == f'#line 1 "fill.cu"\n{SOURCE}'
    assert {"--std=c++17", "-DREAL=float", f"-I{compiler.KERNELS}"} <= set(recorder.options)


def test_a_changed_header_is_compiled_anew(
    recorder: Recorder, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # CuPy finds a binary by text and options alone.
    GpuKernel(file, ("fill",), "fill", ())
    before = recorder.options
    gpu._module.cache_clear()
    monkeypatch.setattr(gpu, "source_digest", lambda: b"another header!!")
    GpuKernel(file, ("fill",), "fill", ())
    assert recorder.options != before


def test_a_launch_hands_over_sizes_and_arguments(recorder: Recorder, file: Path) -> None:
    kernel = GpuKernel(file, ("fill",), "fill", ())
    x = recorder.cupy.zeros(3)
    kernel((2, 1, 1), (32, 1, 1), (x, np.int32(3), None), 0)
    assert recorder.launches == [("fill", (2, 1, 1), (32, 1, 1), (x, np.int32(3), None), 0)]
    assert recorder.most_shared == 0


def test_much_shared_memory_is_asked_for(recorder: Recorder, file: Path) -> None:
    GpuKernel(file, ("fill",), "fill", ())((1, 1, 1), (32, 1, 1), (), 100_000)
    assert recorder.most_shared == recorder.launches[0][-1] == 100_000


def test_more_shared_memory_than_a_gpu_has_is_told(recorder: Recorder, file: Path) -> None:
    with pytest.raises(KernelError, match=r"kernel fill was not launched .*300000 bytes of shared.*INVALID_VALUE"):
        GpuKernel(file, ("fill",), "fill", ())((1, 1, 1), (32, 1, 1), (), 300_000)


def test_a_launch_that_fails_says_why(recorder: Recorder, file: Path) -> None:
    recorder.launch_error = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many resources requested for launch"
    with pytest.raises(KernelError, match=r"kernel fill was not launched \(grid \(1, 1, 1\), .*too many"):
        GpuKernel(file, ("fill",), "fill", ())((1, 1, 1), (1024, 1, 1), (), 0)


def test_an_error_of_the_compiler_is_told_with_its_line(recorder: Recorder, file: Path) -> None:
    recorder.compile_error = 'fill.cu(1): error: identifier "nowhere" is undefined\n\n1 error detected'
    with pytest.raises(SourceError, match=r"fill\.cu does not compile: fill\.cu\(1\): error: identifier"):
        GpuKernel(file, ("fill",), "fill", ())
