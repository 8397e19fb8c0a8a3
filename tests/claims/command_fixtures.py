"""Fixtures of the tests that run commands: an empty working folder, a tiny model, images for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import minigrad as mg
from claims.commands import Run, runner
from claims.tiny import TinyNet, write_images
from minigrad import models
from minigrad.kernels.registry import default_choices


@pytest.fixture(autouse=True)
def unchanged_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a command sets for its process does not reach the next test; one thread is quickest for tiny images."""
    threads = mg.get_num_threads()
    mg.set_num_threads(1)
    monkeypatch.setitem(models.MODELS, "tiny", TinyNet)  # type: ignore[arg-type]
    yield
    mg.set_num_threads(threads)
    default_choices.cache_clear()


@pytest.fixture
def minigrad(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs `minigrad ARGUMENTS` in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    return runner(capsys)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images for TinyNet."""
    return write_images(tmp_path_factory.mktemp("images"))
