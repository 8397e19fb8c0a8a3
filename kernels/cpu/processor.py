"""Which instructions compiled kernels may use: this processor's, or those of an older one.

MINIGRAD_CPU=haswell lets a newer machine compute as one with AVX2 and without AVX-512 does: vectors of 32 bytes,
smaller tiles, and no newer instruction in what Numba compiles, in the whole program. It is read when minigrad
is imported, which must come before the program's first function of Numba.

    x86-64            vectors of 16 bytes (SSE2), no fused multiply-add
    haswell           32 bytes (AVX2), 16 registers
    skylake-avx512    64 bytes (AVX-512), 32 registers, no matrix instructions
    native            what this processor has (the default)
"""

from __future__ import annotations

import os
import platform

import llvmlite.binding
import numba

from ..errors import MinigradError

ENVIRONMENT_VARIABLE = "MINIGRAD_CPU"
NATIVE = "native"
# By LLVM's names for processors: what kernels ask for, or LLVM emits by itself, in each.
_BASELINE = frozenset({"sse2"})
_HASWELL = _BASELINE | {"avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe"}
_SKYLAKE = _HASWELL | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "adx"}
LEVELS = {"x86-64": _BASELINE, "haswell": _HASWELL, "skylake-avx512": _SKYLAKE}


def own_features() -> frozenset[str]:
    """The instruction sets of this processor, by LLVM's names."""
    features: dict[str, bool] = llvmlite.binding.get_host_cpu_features()
    return frozenset(name for name, there in features.items() if there)


def levels() -> list[str]:
    """The values of MINIGRAD_CPU that this machine can follow."""
    return [*(name for name, features in LEVELS.items() if features <= own_features()), NATIVE]


def read_environment() -> str:
    """The value of MINIGRAD_CPU.

    Raises:
        MinigradError: if this machine cannot follow it.
    """
    name = os.environ.get(ENVIRONMENT_VARIABLE, NATIVE)
    if name not in levels():
        reason = (
            f"this processor lacks {', '.join(sorted(LEVELS[name] - own_features()))}"
            if name in LEVELS
            else "it is not a known processor"
        )
        raise MinigradError(
            f"environment variable {ENVIRONMENT_VARIABLE}={name!r}: {reason}; use one of " + ", ".join(levels())
        )
    return name


def _compile_for(name: str) -> frozenset[str]:
    """Let Numba compile for `name` from now on; gives the instruction sets that are there then."""
    if name == NATIVE:
        return own_features()
    numba.config.CPU_NAME, numba.config.CPU_FEATURES = name, ""  # type: ignore[attr-defined]
    return LEVELS[name]


try:
    NAME = read_environment()
except MinigradError:
    # Raised here, it would be a traceback of the import: the command line and the first kernel report it.
    NAME = NATIVE
FEATURES = _compile_for(NAME)

VECTOR_BYTES = 64 if "avx512f" in FEATURES else 32 if "avx" in FEATURES else 16
VECTOR_REGISTERS = 32 if VECTOR_BYTES == 64 or platform.machine().lower() in ("aarch64", "arm64") else 16
