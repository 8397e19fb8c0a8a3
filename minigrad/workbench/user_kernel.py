"""Kernels from files of the user's own: Python with a decorated function, or CUDA C++ with a comment."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from minigrad.kernels.errors import KernelError, MinigradError
from minigrad.kernels.registry import OPERATIONS

from .cuda_file import CudaFile

SUFFIXES = (".py", ".cu")


def load_kernels(path: Path) -> list[tuple[str, str]]:
    """Register the kernels of a file; gives operation and variant of each.

    What is measured of them holds for the file as it is now.

    Raises:
        KernelError: if the file is not there, does not import, or has no kernel; with file and line.
    """
    if not path.is_file():
        raise KernelError(f"--kernel {path}: there is no such file")
    if path.suffix not in SUFFIXES:
        raise KernelError(f"--kernel {path}: a kernel is a file {' or '.join(SUFFIXES)}")
    before = _registered()
    if path.suffix == ".cu":
        file = CudaFile(path)
        operation = file.contract.operation
        operation.variant(file.name, device="cuda", refuses=file.refuses)(file.launch)
    else:
        _run(path)
    added = sorted(_registered() - before)
    origin = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    for name, variant in added:
        variants = OPERATIONS[name].variants
        variants[variant] = replace(variants[variant], origin=origin)
    if not added:
        raise KernelError(
            f"{path} registers no kernel: decorate a function, as by @conv2d.forward.variant('mine', device='cpu')"
        )
    return added


def _registered() -> set[tuple[str, str]]:
    return {(name, variant) for name, operation in OPERATIONS.items() for variant in operation.variants}


def _run(path: Path) -> None:
    """Import a Python file under a name of its own."""
    name = f"minigrad_kernel_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path.resolve())
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # Numba looks there for what it compiles
    try:
        specification.loader.exec_module(module)
    except SyntaxError as error:
        raise KernelError(f"{path}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise KernelError(f"{place_in(path, error) or path}: {type(error).__name__}: {_words(error)}") from error


def place_in(path: Path, error: BaseException) -> str | None:
    """File and line by which an error came out of a file, or None if it did not."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path.resolve()]
    return f"{path}, line {lines[-1]}" if lines else None


@contextmanager
def errors_with_places(paths: Sequence[Path]) -> Iterator[None]:
    """Inside this `with` block, what a kernel of these files raises is told with its file and line.

    Raises:
        KernelError: in the place of an error that came out of one of them.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        place = next(filter(None, (place_in(path, error) for path in paths)), None)
        if place is None:
            raise
        kind = "" if isinstance(error, MinigradError) else f"it raises {type(error).__name__}: "
        told = KernelError(f"{place}: {kind}{_words(error)}")
        for note in getattr(error, "__notes__", ()):  # in which module
            told.add_note(note)
        raise told from error


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())
