"""Compiled code of other sources is cleared away, but not while a program may still use it."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from minigrad.kernels.cpu.cache import KEPT_FOR, delete_stale, home

OWN, OTHER = f"numba-{'0' * 16}", f"numba-{'a' * 16}"


def folder(home: Path, name: str, unused_for: float) -> Path:
    """A folder of compiled code that was last used so many seconds ago."""
    (home / name / "sources").mkdir(parents=True)
    (home / name / "sources" / "kernel.nbc").write_bytes(b"code")
    os.utime(home / name, (time.time() - unused_for,) * 2)
    return home / name


def test_folders_of_other_sources_go_once_they_were_unused_for_long(tmp_path: Path) -> None:
    own = folder(tmp_path, OWN, unused_for=0)
    stale = folder(tmp_path, OTHER, unused_for=KEPT_FOR + 60)
    recent = folder(tmp_path, f"numba-{'b' * 16}", unused_for=KEPT_FOR - 60)
    delete_stale(own)
    assert not stale.exists()
    assert (recent / "sources" / "kernel.nbc").exists()


def test_a_programs_own_folder_stays_and_counts_as_used(tmp_path: Path) -> None:
    own = folder(tmp_path, OWN, unused_for=10 * KEPT_FOR)
    delete_stale(own)
    assert (own / "sources" / "kernel.nbc").exists()
    assert own.stat().st_mtime > time.time() - KEPT_FOR


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    others = [folder(tmp_path, name, 10 * KEPT_FOR) for name in ("numba-cache", "sources_123", f"{OTHER}-mine")]
    delete_stale(tmp_path / OWN)
    assert all(other.exists() for other in others)


def test_a_folder_that_is_not_there_yet_is_no_error(tmp_path: Path) -> None:
    delete_stale(tmp_path / "nowhere" / OWN)


def test_where_nothing_can_be_written_the_code_is_kept_for_the_program_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    passing = home()
    try:
        assert passing.parent == Path(tempfile.gettempdir())
        assert passing.stat().st_mode & 0o077 == 0  # code that is run: nobody else may write it
    finally:
        passing.rmdir()
