"""Replacing a file so that a kill or a full disk at any moment leaves either the old or the new one whole."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path

from minigrad.kernels.errors import MinigradError

PARTIAL_SUFFIX = ".partial"
STANDARD_OUTPUT = 1


def write_atomically(path: str | Path, content: bytes | memoryview) -> None:
    """Make `content` the file `path`; or, where that is a stream (see `is_stream`), write it there.

    The bytes go to PATH.partial and onto the disk; only then does the name change hands, and the folder, which
    holds the name, goes onto the disk too. A killed process may leave its PATH.partial behind, which the next
    write overwrites.

    Raises:
        MinigradError: the disk is full, the folder is missing, writing is not allowed; PATH is as it was before.
    """
    path = Path(path)
    if is_stream(path):
        return _write_through(path, content)
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove(partial)
        raise write_error(path, len(content), error) from error
    except BaseException:  # Ctrl-C in the middle
        _remove(partial)
        raise


def is_stream(path: Path) -> bool:
    """Whether `path` is a device, a pipe or an open file of this process, which nothing may replace."""
    return _descriptor(path) is not None or (path.exists() and not path.is_file() and not path.is_dir())


def is_standard_output(path: Path) -> bool:
    """Whether what is written to `path` comes out where `print` writes."""
    return _descriptor(path) == STANDARD_OUTPUT


def _descriptor(path: Path) -> int | None:
    """The number of the open file of this process that `path` stands for."""
    found = re.fullmatch(r"(?:/dev/fd|/proc/self/fd)/(\d+)|/dev/(stdin|stdout|stderr)", str(path))
    if found is None:
        return None
    return int(found[1]) if found[1] else ("stdin", "stdout", "stderr").index(found[2])


def _write_through(path: Path, content: bytes | memoryview) -> None:
    descriptor = _descriptor(path)
    try:
        # A file opened anew by its name in /dev would be written from its beginning.
        with path.open("wb") if descriptor is None else open(os.dup(descriptor), "wb") as file:
            file.write(content)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MinigradError(f"cannot write {path}: {error.strerror or error}") from error


def write_error(path: Path, size: int, error: OSError) -> MinigradError:
    """The sentence for an `error` met in writing `size` bytes for `path`."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = f"the disk is full ({size / 1e6:.1f} MB are needed)"
    kept = "; the file that was there is kept" if path.exists() else ""
    return MinigradError(f"cannot write {path}: {reason}{kept}")


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # the error that led here is the one to tell
        path.unlink(missing_ok=True)
