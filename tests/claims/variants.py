"""What every variant of every kernel must satisfy, as one claim.

A test draws a problem and arrays and hands them to `assert_variant_matches_oracle`; `every_variant` is
the parametrisation that brings each variant of the registry, those added later too, to the same test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from minigrad.device import library, obstacle
from minigrad.kernels import registry
from minigrad.kernels.arrays import device_of, on_host
from minigrad.kernels.cpu import buffers
from minigrad.kernels.cuda import compiler, emulated_array
from minigrad.kernels.cuda.emulation import thread_order
from minigrad.kernels.errors import KernelError
from minigrad.kernels.registry import Operation, use_kernels
from minigrad.kernels.variant import Variant

# Norm of the error over norm of the oracle. Rounding each of a few hundred operations once costs about
# sqrt(hundreds) * 6e-8 in float32, and as many times 1.1e-16 in float64.
# In 16 bits the arithmetic is float32, and what counts is that each result is rounded once, to 11 or 8 bits.
TOLERANCES = {"float32": 2e-6, "float64": 1e-13, "float16": 2**-11, "bfloat16": 2**-8}

LAYOUTS = ("contiguous", "channels_last", "channel_slice", "strided")


OTHER_ORDER = 7  # of threads; the seed of an order that takes them neither forwards nor backwards

without_compiler = pytest.mark.skipif(compiler.obstacle() is not None, reason=str(compiler.obstacle()))


without_gpu = pytest.mark.skipif(obstacle("cuda") is not None, reason=str(obstacle("cuda")))


class OnGpu(str):
    """The name of a variant that a test shall run on a GPU, not in the emulator."""


def marks_of(variant: Variant) -> list[pytest.MarkDecorator]:
    """What a test of `variant` is marked with: that it runs in the emulator, and why it cannot run here."""
    if variant.device == "cuda":
        return [pytest.mark.emulated, without_compiler]
    reason = variant.unavailable()
    return [] if reason is None else [pytest.mark.skip(reason=reason)]


def every_variant(*operations: Operation) -> Any:
    """Parametrise `operation` and `variant` over all variants; those for CUDA run in the emulator.

    A test called test_every_variant... runs them on a GPU, too: it makes the claim of this file, whose arrays may
    lie anywhere.
    """

    def parametrised(test: Any) -> Any:
        twice = test.__name__.startswith("test_every_variant")
        cases = []
        for operation in operations:
            for variant in operation.variants.values():
                name = f"{operation.name}-{variant.name}"
                cases.append(pytest.param(operation, variant.name, id=name, marks=marks_of(variant)))
                if variant.device == "cuda" and twice:
                    marks = [pytest.mark.gpu, without_gpu]
                    cases.append(pytest.param(operation, OnGpu(variant.name), id=f"{name}-on-a-gpu", marks=marks))
        return pytest.mark.parametrize(("operation", "variant"), cases)(test)

    return parametrised


def device_for(operation: Operation, variant: str) -> str:
    """Where the tests run a variant."""
    if isinstance(variant, OnGpu):
        return "cuda"
    return "emulated" if operation.variants[variant].device == "cuda" else "cpu"


def on_device_of(operation: Operation, variant: str, arguments: Any) -> Any:
    """`arguments` with each array where the variant runs, of the same strides."""
    moved = {"cpu": lambda array: array, "emulated": emulated, "cuda": on_gpu}[device_for(operation, variant)]
    return _mapped(arguments, moved)


def on_gpu(array: np.ndarray) -> Any:
    """A copy on the GPU with the same strides; the memory between the elements is NaN."""
    xp = library("cuda")
    size = (
        sum((n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)) // array.itemsize + 1
    )
    memory = xp.full(size if array.size else 0, _poison(array.dtype), array.dtype)
    copy = xp.lib.stride_tricks.as_strided(memory, array.shape, array.strides)
    copy[...] = xp.asarray(array)
    return copy


def emulated(array: np.ndarray) -> np.ndarray:
    """A copy on the device "emulated" with the same strides; the memory between the elements is NaN."""
    size = sum((n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)) + array.itemsize
    memory = emulated_array.empty((size if array.size else 0,), np.uint8)
    copy = np.ndarray.__new__(
        emulated_array.EmulatedArray, array.shape, array.dtype, memory, strides=array.strides
    )
    copy[...] = array
    return copy


def lay_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values with other strides; NaN fills the memory around and between them.

    "channels_last" and "channel_slice" (of a wider channels-last array) are for (N, C, H, W).
    """
    if layout == "contiguous":
        return array.copy(order="C")
    if layout == "strided":
        wider = np.full([2 * size for size in array.shape], _poison(array.dtype), array.dtype)
        view = wider[..., *(slice(1, None, 2) for _ in array.shape)]
    else:
        n, c, h, w = array.shape
        before, after = (2, 3) if layout == "channel_slice" else (0, 0)
        wider = np.full((n, h, w, before + c + after), _poison(array.dtype), array.dtype)
        view = wider[..., before : before + c].transpose(0, 3, 1, 2)
    view[...] = array
    return view


def _poison(dtype: np.dtype) -> float | int:
    return np.iinfo(dtype).max if dtype.kind in "iu" else np.nan


def assert_variant_matches_oracle(
    operation: Operation,
    variant: str,
    problem: Any,
    arguments: Sequence[Any],
    tolerance: float | None = None,
    *,
    in_place: bool = False,
    wide: str | None = None,
) -> None:
    """A variant gives the oracle's result, or refuses the problem in words.

    The oracle is the reference variant in float64. Claimed are: shapes, `problem.dtype` for floating
    results, integers exactly, floats within `tolerance` (relative norm error) and finite; every element
    written; arguments left as they were; and the same bits from a second call, in the emulator with another
    order of threads.

    Args:
        arguments: what follows the problem in the call: arrays, lists of arrays, numbers.
        tolerance: by default that of `TOLERANCES` for the problem's dtype.
        in_place: the result is what the call leaves in its arguments (the optimiser steps).
        wide: the dtype of results with one axis, where it is not that of the problem (statistics by channel).
    """
    obstacle = operation.variants[variant].obstacle(problem, device_for(operation, variant))
    arguments = on_device_of(operation, variant, arguments)
    if obstacle is not None:
        with use_kernels(**{operation.name: variant}), pytest.raises(KernelError) as caught:
            operation(problem, *arguments)
        assert obstacle in str(caught.value)
        return
    tolerance = TOLERANCES[problem.dtype] if tolerance is None else tolerance
    results = _run(operation, variant, problem, arguments, in_place)
    with thread_order(OTHER_ORDER):
        again = _run(operation, variant, problem, arguments, in_place)
    oracle_problem = replace(problem, dtype="float64")
    expected = _run(operation, "reference", oracle_problem, _in_float64(arguments), in_place)
    assert len(results) == len(expected)
    for result, repeated, right in zip(results, again, expected, strict=True):
        assert result.shape == right.shape
        if right.dtype.kind == "f":
            dtype = wide if wide and right.ndim == 1 else problem.dtype
            assert result.dtype == dtype or right.ndim == 0
            assert_close(result, right, tolerance)
        else:
            assert result.dtype == right.dtype
            np.testing.assert_array_equal(result, right)
        assert result.tobytes() == repeated.tobytes(), "two calls gave different bits"


def assert_close(result: np.ndarray, right: np.ndarray, tolerance: float) -> None:
    """Finite, and norm(result - right) <= tolerance * norm(right)."""
    # NaN compares false with everything, so it must be looked for before any error is compared.
    assert np.isfinite(result).all(), "the result has elements that are not finite"
    error = np.linalg.norm(np.asarray(result, np.float64).ravel() - np.asarray(right).ravel())
    size = np.linalg.norm(np.asarray(right).ravel())
    assert error <= tolerance * size, f"relative error {error / size if size else error:.1e} > {tolerance:.1e}"


def _run(
    operation: Operation, variant: str, problem: Any, arguments: Sequence[Any], in_place: bool
) -> list[np.ndarray]:
    """The results as a list of arrays of their own, from memory that held NaN before."""
    if in_place:
        arguments = _mapped(arguments, _copied_with_its_surroundings)
    before = [array.tobytes() for array in _arrays(arguments)]
    with use_kernels(**{operation.name: variant}), poisoned_memory():
        returned = operation(problem, *arguments)
    if in_place:
        assert returned is None, "a step in place returns nothing"
        returned = _arrays(arguments)
    else:
        assert [array.tobytes() for array in _arrays(arguments)] == before, "an argument has changed"
    outputs = returned if isinstance(returned, tuple | list) else (returned,)
    return [np.array(on_host(output)) for output in outputs]


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Every buffer that the kernels ask for holds NaN, however small, so that an unwritten element shows."""
    take = buffers.BlockPool.take

    def take_poisoned(pool: buffers.BlockPool, size: int) -> np.ndarray:
        block = take(pool, size)
        block[:] = 0xFF  # NaN in every floating format
        return block

    with (
        mock.patch.object(buffers.BlockPool, "take", take_poisoned),
        mock.patch.object(buffers, "SMALLEST_POOLED", 1),
    ):
        yield


def _mapped(arguments: Any, function: Any) -> Any:
    if isinstance(arguments, tuple | list):
        return type(arguments)(_mapped(argument, function) for argument in arguments)
    return function(arguments) if _is_array(arguments) else arguments


def _arrays(arguments: Any) -> list[np.ndarray]:
    if isinstance(arguments, tuple | list):
        return [array for argument in arguments for array in _arrays(argument)]
    return [arguments] if _is_array(arguments) else []


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) or device_of(x) == "cuda"


def _copied_with_its_surroundings(array: np.ndarray) -> np.ndarray:
    """A copy with the same strides."""
    if isinstance(array, emulated_array.EmulatedArray):
        return emulated(array)
    if not isinstance(array, np.ndarray):
        return array.copy(order="K")
    if array.flags.c_contiguous:
        return array.copy()
    return lay_out(array, "strided")


def _in_float64(arguments: Any) -> Any:
    def convert(array: np.ndarray) -> np.ndarray:
        array = np.array(on_host(array), subok=False)
        return array if array.dtype.kind in "biu" else array.astype(np.float64)

    return _mapped(arguments, convert)


def operations_of(family: str) -> list[Operation]:
    """All operations of a family."""
    return [operation for operation in registry.OPERATIONS.values() if operation.family == family]
