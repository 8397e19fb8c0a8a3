"""g++ makes shared libraries of kernels for the emulator, kept in the user's cache by a hash of all that went in.

The emulator's runtime is one library, each kernel file with one set of definitions another. Deleting the
folder is always safe.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..errors import KernelError, SourceError

KERNELS = Path(__file__).parents[1]
EMULATOR = Path(__file__).parent / "emulator"
FLAGS = ["-std=c++17", "-fPIC", "-march=native", "-ffp-contract=fast", "-fno-math-errno"]
FLAGS += ["-fno-gnu-unique"]  # two specialisations of one file must not share a function's __shared__ variables
# A kernel compiles in half the time that -O3 takes, and runs as fast but for a twentieth.
FAST = ["-O1", "-finline-small-functions", "-findirect-inlining", "-g1"]
TO_STEP_THROUGH = ["-O0", "-g3"]  # each line and each variable is there, for gdb; some ten times slower
DEBUG_VARIABLE = "MINIGRAD_EMULATOR_DEBUG"
# Misaligned vectors and indices outside of an array are errors with a line, through emulator/faults.cpp.
CHECKS = ["-fsanitize=alignment,bounds", "-fno-sanitize-recover=all"]
# Every load and store is reported to emulator/counts.cpp, once repeated ones are one, as a GPU's compiler has it.
COUNTING = ["-O2", "-DEMULATOR_COUNTS", "-fsanitize=thread", "-fno-threadsafe-statics"]
INCLUDES = [f"-I{KERNELS}", f"-I{EMULATOR}"]


def obstacle() -> str | None:
    """Why kernels cannot be emulated here, or None."""
    if shutil.which(_command()) is None:
        return f"the emulator compiles kernels with g++, and there is no {_command()!r} (install g++, or set CXX)"
    return None


def _command() -> str:
    return os.environ.get("CXX", "g++")


@functools.cache
def _fingerprint() -> bytes:
    """Of the compiler, the processor that it compiles for, and every header."""
    reason = obstacle()
    if reason:
        raise KernelError(reason)
    version = subprocess.run([_command(), "--version"], capture_output=True, check=True).stdout
    digest = hashlib.sha256(version + repr(FLAGS + CHECKS + COUNTING).encode() + platform.machine().encode())
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        features = (b"flags", b"Features")  # on x86 and on Arm
        digest.update(next((line for line in cpu.read_bytes().splitlines() if line.startswith(features)), b""))
    digest.update(source_digest())
    return digest.digest()


@functools.cache
def source_digest() -> bytes:
    """A hash of every header and every file of the emulator."""
    digest = hashlib.sha256()
    for path in sorted([*KERNELS.rglob("*.cuh"), *EMULATOR.iterdir()]):
        digest.update(path.relative_to(KERNELS).as_posix().encode() + path.read_bytes())
    return digest.digest()


def cache_folder() -> Path:
    """Where the libraries are kept."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return home / "minigrad" / "emulator"


@functools.cache
def runtime() -> ctypes.CDLL:
    """The emulator itself; what it defines is there for the kernels that are loaded later.

    Raises:
        KernelError: if there is no g++, or it refuses.
    """
    sources = sorted(EMULATOR.glob("*.cpp"))
    text = "\n".join(f'#include "{path.name}"' for path in sources)
    # One thread-local pointer is read all the time: it gets a fixed place.
    path = _library("runtime", text, ["-ftls-model=initial-exec", "-pthread"], "the emulator")
    return ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def kernel_library(
    source: Path, kernels: tuple[str, ...], defines: tuple[tuple[str, str], ...], counting: bool = False
) -> ctypes.CDLL:
    """The kernels of one file, compiled with `defines`; with checks, or to be counted.

    Raises:
        SourceError: if the file does not compile; with its line and the compiler's words.
    """
    runtime()
    entries = "\n".join(f"EMULATED_KERNEL({kernel})" for kernel in kernels)
    text = f'#include "emulator.h"\n#include "{source}"\n#include "entry.h"\n{entries}\n// {_contents(source)}\n'
    options = [*(COUNTING if counting else CHECKS), *(f"-D{name}={value}" for name, value in defines)]
    return ctypes.CDLL(str(_library(source.stem, text, options, source.name)))


def _contents(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()


def _library(name: str, text: str, options: list[str], what: str) -> Path:
    """The library made of C++ `text`, compiled unless it is in the cache."""
    optimisation = TO_STEP_THROUGH if os.environ.get(DEBUG_VARIABLE) else FAST
    key = hashlib.sha256(_fingerprint() + text.encode() + repr(optimisation + options).encode()).hexdigest()[:20]
    path = cache_folder() / f"{name}-{key}.so"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        unit, unlinked, linked = (Path(folder) / f"{name}{suffix}" for suffix in (".cpp", ".o", ".so"))
        unit.write_text(text)
        _run([_command(), *FLAGS, *optimisation, *options, *INCLUDES, "-c", str(unit), "-o", str(unlinked)], what)
        _run([_command(), "-shared", "-pthread", str(unlinked), "-o", str(linked)], what)
        linked.replace(path)  # at once: another process may be looking for it
    return path


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SourceError(f"{what} does not compile for the emulator: {first_error(done.stderr)}")


def first_error(log: str) -> str:
    """The first error of a compiler's output, with file and line, and how many more there are."""
    errors = [line.strip() for line in log.splitlines() if "error:" in line]
    if not errors:
        return log.strip() or "the compiler says nothing"
    return errors[0] + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else "")
