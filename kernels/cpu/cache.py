"""Where compiled kernels are kept: a folder for each state of the kernels' sources.

Numba notices when the file of a kernel changes, but not when a function that it calls from another file
does, and would go on running the old machine code. So the folder's name holds a hash of all sources. It
stands in NUMBA_CACHE_DIR if that is set, else in the package's `__pycache__`, or in the user's cache
where the package cannot be written to. Deleting it is always safe, and folders of other sources are
deleted once no program has used them for a month.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numba
from numba.core import caching
from numba.core.caching import IndexDataCacheFile

KERNELS = Path(__file__).parents[1]
NAME = re.compile("numba-[0-9a-f]{16}")
KEPT_FOR = 30 * 24 * 3600.0  # seconds without use


@functools.cache
def folder() -> Path:
    """The folder for the sources as they are, not necessarily there yet."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(KERNELS.rglob("*.py")):
        digest.update(path.relative_to(KERNELS).as_posix().encode() + path.read_bytes())
    own = home() / f"numba-{digest.hexdigest()[:16]}"
    delete_stale(own)
    return own


def delete_stale(own: Path) -> None:
    """Delete the folders beside `own` that were not used for `KEPT_FOR`; `own` counts as used now."""
    with suppress(OSError):
        os.utime(own)
    with suppress(OSError):
        for other in own.parent.iterdir():
            stale = other.stat().st_mtime < time.time() - KEPT_FOR
            if stale and other != own and NAME.fullmatch(other.name):
                shutil.rmtree(other, ignore_errors=True)


def home() -> Path:
    """Where the folders stand; where nothing can be written, a folder that goes with the program."""
    if "NUMBA_CACHE_DIR" in os.environ:
        return Path(os.environ["NUMBA_CACHE_DIR"])
    own = KERNELS / "__pycache__"
    if os.access(own if own.exists() else KERNELS, os.W_OK):
        return own
    with suppress(OSError, RuntimeError):  # the latter where a user has no home
        users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minigrad"
        users.mkdir(parents=True, exist_ok=True)
        if os.access(users, os.W_OK):
            return users
    passing = Path(tempfile.mkdtemp(prefix="minigrad-"))
    atexit.register(shutil.rmtree, passing, ignore_errors=True)
    return passing


class _LockedIndex(IndexDataCacheFile):
    """Numba's index of one function's compiled versions, to which one process adds at a time.

    Numba takes no lock: of two processes that add at once, both may choose the same file for their code, and the
    code of one is then loaded for the types of the other.
    """

    def save(self, key: Any, data: Any) -> None:
        with alone(Path(self._index_path).with_name("index")):
            super().save(key, data)


@contextmanager
def kept_in_folder() -> Iterator[None]:
    """Functions that Numba is told to cache inside this `with` block are kept in `folder()`."""
    before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = str(folder())  # type: ignore[attr-defined]
    caching.IndexDataCacheFile = _LockedIndex  # type: ignore[misc]
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before  # type: ignore[attr-defined]
        caching.IndexDataCacheFile = IndexDataCacheFile  # type: ignore[misc]


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Inside this `with` block no other process is in one for this file, where the file system knows locks."""
    try:
        import fcntl  # which Windows does not have

        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o644)
    except (ImportError, OSError):
        yield
        return
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
