"""Whether a variant's results are right, and not only once, and not by way of something that is not allowed.

A result is right if it has the contract's shape and dtype, integers equal the oracle's, and floating elements are
near it: norm(error) <= tolerance * norm(oracle), and no single element is off by more than
`LARGEST` * tolerance * max(|its value|, root mean square of all). The second bound finds one wrong element among
millions, which the norm forgives in 16 bits. NaN and infinity are never right where the oracle is finite.
"""

from __future__ import annotations

import ctypes
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.kernels.arrays import on_host
from minigrad.kernels.cpu import buffers
from minigrad.kernels.errors import MinigradError, SourceError

from .case import Case
from .contracts import arrays_in

# Relative norm of the error. Sums of some thousand products err by sqrt(thousands) * 6e-8 in float32; Winograd's
# transforms cancel, which costs up to 6e-6; a wrong index or coefficient gives 1e-2 and more. In 16 bits each
# result is rounded once, to 11 or 8 bits, and the sums are float32.
TOLERANCES = {"float64": 1e-12, "float32": 3e-5, "float16": 1.01 * 2**-11, "bfloat16": 1.01 * 2**-8}
# tf32 keeps 11 bits of both factors, so that each product errs by up to 2^-11 + 2^-11.
TF32_VARIANTS = frozenset({"implicit_gemm_tensor_core", "tensor_core"})
TF32_TOLERANCE = 2.0**-10
LARGEST = 16.0  # standard deviations that no element of GoogLeNet's largest layer exceeds, several times over


class WrongError(MinigradError):
    """A variant is wrong; says where and by how much."""


@dataclass(frozen=True)
class Errors:
    """How far results are from the oracle.

    Attributes:
        largest: the largest error of an element, over the root mean square of the oracle's result.
        norm: norm of the error over norm of the oracle.
        used: the share of the tolerance that was used up, of either bound; right is at most 1.
    """

    largest: float = 0.0
    norm: float = 0.0
    used: float = 0.0

    def worst(self, other: Errors) -> Errors:
        return Errors(max(self.largest, other.largest), max(self.norm, other.norm), max(self.used, other.used))


def tolerance_of(variant: str, dtype: str) -> float:
    """The relative norm of the error that a variant is allowed."""
    return TF32_TOLERANCE if dtype == "float32" and variant in TF32_VARIANTS else TOLERANCES[dtype]


def compare(name: str, result: np.ndarray, right: np.ndarray, tolerance: float, least_size: float = 0.0) -> Errors:
    """The errors of one result.

    Args:
        least_size: a root mean square that the right result is taken to have at least.

    Raises:
        WrongError: if it is not right; names the worst element, and how many are wrong.
    """
    if right.dtype.kind in "iu":
        wrong = result != right
        if wrong.any():
            raise WrongError(_complaint(name, result, right, wrong, np.abs(result.astype(float) - right)))
        return Errors()
    wide = result.astype(np.float64)
    if not np.isfinite(wide).all() and np.isfinite(right).all():
        wrong = ~np.isfinite(wide)
        raise WrongError(_complaint(name, result, right, wrong, wrong.astype(float)))
    if not right.size:
        return Errors()
    error = np.abs(wide - right)
    size = max(float(np.sqrt(np.mean(right * right))), least_size)
    norm = float(np.sqrt(np.mean(error * error)))
    scale = np.maximum(np.abs(right), size)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(error > 0, error / scale, 0.0)  # infinite where the oracle is zero everywhere
    worst = float(relative.max())
    errors = Errors(
        float(error.max()) / size if size else worst,
        norm / size if size else worst,
        max(norm / (tolerance * size) if size else worst, worst / (LARGEST * tolerance)),
    )
    if not errors.used <= 1:
        raise WrongError(_complaint(name, result, right, relative > min(worst, LARGEST * tolerance), relative))
    return errors


def _complaint(name: str, result: np.ndarray, right: np.ndarray, wrong: np.ndarray, size: np.ndarray) -> str:
    """Where a result is worst, with both values."""
    index = np.unravel_index(int(np.argmax(np.where(np.isnan(size), np.inf, size))), size.shape)
    got, expected = float(result[index]), float(right[index])
    place = ", ".join(str(int(i)) for i in index)
    count = max(1, int(np.count_nonzero(wrong)))
    return (
        f"{name}[{place}] is {got:.6g} and should be {expected:.6g}, off by {abs(got - expected):.2g}; "
        f"{count:,} of {right.size:,} elements are wrong"
    )


# glibc's mallopt(M_PERTURB, byte): memory handed out is filled with `byte`'s complement, memory freed with it.
_M_PERTURB, _PERTURBED = -6, 0x01


@contextmanager
def poisoned_memory(case: Case) -> Iterator[None]:
    """Inside this `with` block, memory that a kernel asks for does not hold what was there before.

    An element that is never written then shows at once, and not only when chance leaves something else there.
    """
    mallopt: Callable[[int, int], int] | None = None
    if case.device == "cpu":
        for block in buffers.pool.free_blocks():
            block[:] = 0xFF  # NaN in every floating format
        if os.name == "posix":  # Windows has no library by the name of None
            mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    elif case.device == "cuda":
        from minigrad.device import library

        cupy = library("cuda")
        for array in case.expected[0].values():  # CuPy's pool hands out by size, and what was given back last
            for itemsize in (1, 2, 4, 8):
                cupy.full(max(1, array.size * itemsize), 0xFF, cupy.uint8)
    if mallopt:
        mallopt(_M_PERTURB, _PERTURBED)
    try:
        yield
    finally:
        if mallopt:
            mallopt(_M_PERTURB, 0)


def run(function: Callable[..., Any], case: Case, number: int) -> Any:
    """What a variant returns, given the arguments of set `number`.

    Raises:
        WrongError: if it raises.
        SourceError: if it does not compile.
    """
    try:
        return function(case.problem, *case.sets[number].values())
    except SourceError:  # as on every other problem
        raise
    except (Exception, SystemExit) as error:  # a kernel's sys.exit() must not end the run, least of all well
        raise WrongError(told(error, function)) from error


def call(function: Callable[..., Any], case: Case, number: int) -> tuple[list[Any], list[np.ndarray]]:
    """Call a variant once with the arguments of set `number`; its results, and copies taken at once.

    Of an operation that works in place there are copies only: its arguments have the values from before again.

    Raises:
        WrongError: see `run`; also if it changes an argument, or gives what the contract does not.
    """
    arguments = case.sets[number]
    changes = case.contract.changes
    given = {name: arrays_in(value) for name, value in arguments.items() if name not in changes}
    case.restore(number)
    before = {name: [on_host(array).copy() for array in arrays] for name, arrays in given.items()}
    try:
        with poisoned_memory(case):
            returned = run(function, case, number)
    finally:
        changed = [np.array(on_host(array)) for array in case.results(number, None)] if changes else []
        case.restore(number)
    names = case.contract.outputs(case.problem)
    if changes:
        if returned is not None:
            raise WrongError(f"it returns {type(returned).__name__}, and has to change {', '.join(changes)}")
        _assert_unchanged(case, given, before, {})
        return [], changed
    results = case.results(number, returned)
    if len(results) != len(names):
        raise WrongError(f"it returns {len(results)} results; the contract has {', '.join(names)}")
    copies = []
    for result, (name, (shape, dtype)) in zip(results, names.items(), strict=True):
        if not hasattr(result, "strides"):
            raise WrongError(f"{name} is {type(result).__name__}; the contract has an array of {shape}")
        dtypes = (dtype, "float64") if name in case.contract.may_be_float64 else (dtype,)
        if tuple(result.shape) != tuple(shape) or result.dtype not in [np.dtype(one) for one in dtypes]:
            raise WrongError(f"{name} is {result.dtype} {tuple(result.shape)}; the contract has {dtype} {shape}")
        copies.append(np.array(on_host(result)))
    _assert_unchanged(case, given, before, dict(zip(names, results, strict=True)))
    return results, copies


def _assert_unchanged(
    case: Case,
    given: Mapping[str, list[Any]],
    before: Mapping[str, list[np.ndarray]],
    results: Mapping[str, Any],
) -> None:
    """Raise a WrongError if an argument has other values than before, or shares memory with a result."""
    for name, arrays in given.items():
        for array, kept in zip(arrays, before[name], strict=True):
            changed = _different(on_host(array), kept)
            if changed is not None:
                array[...] = case.on_device(kept)  # other variants are measured with it
                raise WrongError(f"it changes its argument {name}, at index {changed}")
            if case.device != "cuda" and not case.contract.may_share:
                for output, result in results.items():
                    if np.may_share_memory(result, array):
                        raise WrongError(f"its result {output} is memory of its argument {name}")


def _different(array: np.ndarray, kept: np.ndarray) -> tuple[int, ...] | None:
    """The first index at which the bits differ."""
    bits = np.dtype(f"u{array.itemsize}")
    differ = np.ascontiguousarray(array).view(bits) != np.ascontiguousarray(kept).view(bits)
    return tuple(int(i) for i in np.argwhere(differ)[0]) if differ.any() else None


def told(error: BaseException, function: Callable[..., Any]) -> str:
    """An exception of a kernel in one line; with the line of the kernel's file, if it is no sentence of ours."""
    words = " ".join(str(error).split())
    if isinstance(error, MinigradError):
        return words
    frames = list(traceback.extract_tb(error.__traceback__))
    code = getattr(function, "__code__", None)
    own = [frame.lineno for frame in frames if code and frame.filename == code.co_filename]
    if code and (own or len(frames) == 1):  # a call that does not fit its parameters never gets into it
        place = f" ({code.co_filename}, line {own[-1] if own else code.co_firstlineno})"
    else:
        place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"it raises {type(error).__name__}: {words}{place}"


def check(function: Callable[..., Any], case: Case, tolerance: float) -> Errors:
    """Call a variant with two sets of arguments, and with the values of the sets exchanged; its worst errors.

    Raises:
        WrongError: see `call` and `compare`; also if a later call changes an earlier result, or if other values
            at the same addresses give what the values before gave.
    """
    held, copies = call(function, case, 0)
    errors = _compared(copies, case, 0, tolerance)
    _, others = call(function, case, 1)
    errors = errors.worst(_compared(others, case, 1, tolerance))
    for result, kept, name in zip(held, copies, case.expected[0], strict=False):
        if _different(on_host(result), kept) is not None:
            raise WrongError(f"its result {name} changes when it is called again: both calls gave the same memory")
    del held
    case.swap()
    _, exchanged = call(function, case, 0)
    try:
        return errors.worst(_compared(exchanged, case, 0, tolerance))
    except WrongError as error:
        if all(np.array_equal(new, old) for new, old in zip(exchanged, copies, strict=True)):
            raise WrongError(
                "other values at the same address give the result of the values before: it remembers addresses"
            ) from error
        raise


def _compared(results: list[np.ndarray], case: Case, number: int, tolerance: float) -> Errors:
    errors = Errors()
    for result, (name, right) in zip(results, case.expected[number].items(), strict=True):
        errors = errors.worst(compare(name, result, right, tolerance, case.least_sizes.get(name, 0.0)))
    return errors
