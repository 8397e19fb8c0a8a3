"""runs/NAME/: one folder a run, which no other run ever writes into."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigrad.kernels.errors import MinigradError
from minigrad.kernels.tuned import Choice, merged

from .atomic_file import write_atomically
from .checkpoint import BEST, LAST, RESUME
from .config import ConfigError, TrainConfig
from .metrics import METRICS

CONFIG, TUNED, CURVES, CONFUSION = "config.json", "tuned.json", "curves.png", "confusion.png"
LOCK = ".lock"


class RunFolder:
    """The files of one run. Made by `create` or `find`.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / CONFIG

    @property
    def tuned(self) -> Path:
        return self.path / TUNED

    @property
    def metrics(self) -> Path:
        return self.path / METRICS

    @property
    def last(self) -> Path:
        return self.path / LAST

    @property
    def best(self) -> Path:
        return self.path / BEST

    @property
    def resume(self) -> Path:
        return self.path / RESUME

    @property
    def curves(self) -> Path:
        return self.path / CURVES

    @property
    def confusion(self) -> Path:
        return self.path / CONFUSION

    @classmethod
    def create(cls, out: str | Path, name: str | None, stem: str) -> RunFolder:
        """Make a new folder in `out`, called `name`, or `stem`-1, `stem`-2, ... where none is given.

        Raises:
            MinigradError: the name is taken or no name for a folder, or the folder cannot be made.
        """
        out = Path(out)
        if name is not None:
            require_free(out, name)
        number = 0
        while True:
            number += 1
            path = out / (name or f"{stem}-{number}")
            try:
                path.mkdir(parents=True)
            except FileExistsError as error:
                if name is not None or (out.exists() and not out.is_dir()):
                    raise MinigradError(f"cannot make the run folder {path}: it exists already") from error
                continue  # taken, perhaps at this very moment
            except OSError as error:
                raise MinigradError(f"cannot make the run folder {path}: {error.strerror}") from error
            folder = cls(path)
            folder.lock()
            return folder

    @classmethod
    def find(cls, out: str | Path, name: str | None) -> RunFolder:
        """The run called `name` (or the folder `name`), or the newest run in `out` where none is given.

        Raises:
            MinigradError: there is no such run, or another process is training it.
        """
        out = Path(out)
        if name is None:
            runs = [entry.parent for entry in out.glob(f"*/{CONFIG}")]
            if not runs:
                raise MinigradError(f"there is no run in {out} to resume; --out names the folder of the runs")
            path = max(runs, key=lambda run: (run.stat().st_mtime_ns, run.name))
        else:
            path = next((p for p in (out / name, Path(name)) if (p / CONFIG).is_file()), out / name)
        if not (path / CONFIG).is_file():
            known = ", ".join(sorted(entry.parent.name for entry in out.glob(f"*/{CONFIG}"))) or "none"
            raise MinigradError(f"there is no run {path} to resume (no {CONFIG} in it); runs in {out}: {known}")
        folder = cls(path)
        folder.lock()
        return folder

    def lock(self) -> None:
        """Keep other processes from training this run, until this one ends or calls `unlock`.

        Raises:
            MinigradError: another process is training it.
        """
        if os.name == "nt":  # which has no such locks
            return
        import fcntl

        try:
            self._lock = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise MinigradError(f"cannot write into the run folder {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.unlock()
            raise MinigradError(f"another process is training the run {self.path} at this moment") from None
        except OSError:
            self.unlock()  # a file system without locks

    def unlock(self) -> None:
        """Let other processes train this run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_config(self, config: TrainConfig) -> None:
        """Write `config.json`. Raises MinigradError where it cannot be written."""
        write_atomically(self.config, (json.dumps(config.to_json(), indent=2) + "\n").encode())

    def write_tuned(self, choices: Sequence[Choice]) -> None:
        """Write `tuned.json`, the measured choices of kernels that the run goes by, if there are any.

        A resumed run goes by the same ones, whatever was measured since. Raises MinigradError where it cannot be
        written.
        """
        if choices:
            write_atomically(self.tuned, merged(None, choices).encode())

    def read_config(self) -> TrainConfig:
        """Read `config.json`. Raises MinigradError where it cannot be read, or is not one."""
        try:
            values: Any = json.loads(self.config.read_bytes())
        except OSError as error:
            raise MinigradError(f"cannot read {self.config}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise MinigradError(f"{self.config} is not JSON: {error}") from error
        return TrainConfig.from_json(values, str(self.config))


def require_free(out: str | Path, name: str) -> None:
    """Refuse a `name` that a run cannot have.

    Raises:
        ConfigError: it is no name for a folder.
        MinigradError: it is taken in the folder `out`.
    """
    if not name.strip() or not name.isprintable() or name in (".", "..") or Path(name).name != name:
        raise ConfigError(f"--name {name!r} is no name for a folder; the folder of the runs is --out")
    if (Path(out) / name).exists():
        raise MinigradError(
            f"the run {Path(out) / name} exists already: continue it by --resume {name}, or choose another --name"
        )
