"""What minigrad and its stand-in for CuPy take for granted of CuPy, asked of the real one; no GPU is needed."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claims import fake_cupy
from minigrad.device import DeviceError, library
from minigrad.kernels.cuda import gpu
from minigrad.kernels.errors import KernelError

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
without_gpu = pytest.mark.skipif(cupy.cuda.is_available(), reason="a GPU answers here")

# What kernels and engine ask of the library of an array, as `xp.NAME`.
NAMES = (
    "abs arange array asarray ascontiguousarray broadcast_to concatenate einsum empty empty_like exp eye flip "
    "from_dlpack full full_like isfinite isnan linspace log matmul maximum moveaxis ones pad roll sqrt square "
    "stack take_along_axis where zeros zeros_like float32 float64 uint32 uint64 inf"
)
ATTRIBUTES = "data dtype flags itemsize nbytes ndim shape size strides T get item tolist fill scatter_add"


@pytest.mark.parametrize("name", NAMES.split())
def test_a_function_that_we_call_is_there(name: str) -> None:
    assert hasattr(cupy, name)


@pytest.mark.parametrize("name", (fake_cupy.METHODS + " " + ATTRIBUTES).split())
def test_an_array_has_what_the_stand_in_has(name: str) -> None:
    assert hasattr(cupy.ndarray, name)


@pytest.mark.parametrize("name", ["errstate", "nditer", "frompyfunc", "ma", "rec"])
def test_what_the_stand_in_lacks_is_not_there(name: str) -> None:
    assert name in fake_cupy.WITHOUT and not hasattr(cupy, name)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "max", "min", "all", "any"])
def test_reductions_take_no_more_than_in_the_stand_in(name: str) -> None:
    taken = set(inspect.signature(getattr(cupy, name)).parameters) - {"a"}
    assert taken == fake_cupy.ONLY[name]


def test_views_by_strides_take_shape_and_strides() -> None:
    taken = set(inspect.signature(cupy.lib.stride_tricks.as_strided).parameters) - {"x"}
    assert taken == fake_cupy.ONLY["as_strided"]


def test_copies_from_the_host_may_be_waited_for() -> None:
    for function in (cupy.array, cupy.asarray):
        assert "blocking" in inspect.signature(function).parameters


def test_the_errors_that_we_catch_are_there() -> None:
    assert issubclass(cupy.cuda.driver.CUDADriverError, RuntimeError)
    assert issubclass(cupy.cuda.runtime.CUDARuntimeError, RuntimeError)
    assert issubclass(cupy.cuda.compiler.CompileException, Exception)
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)


def test_what_a_captured_step_asks_for_is_there() -> None:
    assert cupy.cuda.alloc_pinned_memory and cupy.cuda.using_allocator and cupy.cuda.get_current_stream
    assert hasattr(cupy.get_default_memory_pool(), "malloc")
    assert hasattr(cupy.cuda.Graph, "launch")
    for function, names in (
        (cupy.cuda.Stream.__init__, {"non_blocking"}),
        (cupy.ndarray.get, {"stream", "out", "blocking"}),
        (cupy.ndarray.set, {"stream"}),
    ):
        documented = inspect.getdoc(function) or ""
        try:
            known = set(inspect.signature(function).parameters)
        except ValueError:
            known = {name for name in names if name in documented}
        assert names <= known


def test_kernels_have_what_a_launch_sets() -> None:
    assert isinstance(inspect.getattr_static(cupy.RawKernel, "max_dynamic_shared_size_bytes"), object)
    module = cupy.RawModule(code="", options=gpu.options((("REAL", "float"),)))
    assert module.options[0] == "--std=c++17"


def test_what_the_benchmarks_time_with_is_there() -> None:
    for owner, names in (
        (cupy, "copyto get_default_memory_pool"),
        (cupy.cuda, "Event Stream Device get_elapsed_time nvrtc Memory MemoryPointer"),
        (cupy.cuda.Event, "record synchronize"),
        (cupy.cuda.Stream, "begin_capture end_capture synchronize record wait_event"),
        (cupy.cuda.MemoryPool, "total_bytes free_all_blocks malloc"),
        (cupy.cuda.runtime, "memGetInfo driverGetVersion runtimeGetVersion getDeviceProperties getDevice"),
    ):
        assert [name for name in names.split() if not hasattr(owner, name)] == []


@pytest.mark.parametrize(
    "name", ["add", "subtract", "multiply", "true_divide", "maximum", "isfinite", "exp", "greater"]
)
def test_functions_of_elements_know_bfloat16(name: str) -> None:
    assert any(kind.startswith("E") for kind in getattr(cupy, name).types)
    assert getattr(cupy, name).name == f"cupy_{name}"


def test_choices_know_no_bfloat16() -> None:
    from cupy._core._routines_math import clip
    from cupy._sorting.search import _where_ufunc

    for name, ufunc in (("where", _where_ufunc), ("clip", clip)):
        assert name in fake_cupy.NO_BFLOAT16 and not any("E" in kind for kind in ufunc.types)


def test_an_allocation_is_one_object_for_all_its_views() -> None:
    # What `kernels.arrays.owner` takes for granted.
    assert hasattr(cupy.cuda.MemoryPointer, "mem") and hasattr(cupy.cuda.memory.BaseMemory, "ptr")


@without_gpu
def test_without_a_driver_one_line_says_so() -> None:
    with pytest.raises(DeviceError, match=r"device 'cuda': CuPy is installed, but no .*\(cudaError") as caught:
        library("cuda")
    assert "\n" not in str(caught.value)


def test_without_nvrtc_the_error_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError('Failure finding "libnvrtc.so.12": No such file\nand more')

    monkeypatch.setattr(cupy, "RawModule", missing)
    file = tmp_path / "kernel.cu"
    file.write_text("")
    with pytest.raises(KernelError, match=r"kernel\.cu cannot be compiled, .* no NVRTC .*minigrad\[cuda12\]"):
        gpu._module(file, ())


def test_scalars_and_structs_have_the_types_that_a_kernel_takes_by_value() -> None:
    # CuPy takes NumPy's scalars, and NumPy arrays of one element, by value (`_pointer` in cupy/cuda/function.pyx).
    from minigrad.kernels.cuda.launch import struct

    assert struct(1, 2, 3).shape == () and struct(1, 2, 3).nbytes == 12
    assert isinstance(np.float32(1), np.generic)
