"""What a person sees while a model trains: a bar an epoch, and a line an epoch that stays."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from .evaluation import Tally


class Progress(Protocol):
    """Is told how training goes."""

    def begin(self, epoch: int, batches: int, done: int) -> None:
        """Epoch number `epoch` (from 1) begins, with `done` of its `batches` behind it."""

    def advance(self, tally: Tally) -> None:
        """A batch has been trained on; `tally` counts the epoch so far."""

    def testing(self) -> None:
        """The batches are done, the test images are next."""

    def end(self, record: Mapping[str, Any]) -> None:
        """The epoch is over; `record` is its line of metrics.jsonl."""

    def stop(self) -> None:
        """Training is over, or has been broken off."""


class Silent:
    """Shows nothing."""

    def begin(self, epoch: int, batches: int, done: int) -> None: ...

    def advance(self, tally: Tally) -> None: ...

    def testing(self) -> None: ...

    def end(self, record: Mapping[str, Any]) -> None: ...

    def stop(self) -> None: ...


class Bar:
    """A tqdm bar on standard error where that is a terminal, and the epochs' lines on standard output.

    Args:
        epochs: of the whole run.
    """

    def __init__(self, epochs: int, lines: TextIO | None = None) -> None:
        self.epochs = epochs
        self.lines = lines or sys.stdout
        self.bar: Any = None

    def begin(self, epoch: int, batches: int, done: int) -> None:
        from tqdm import tqdm

        self.bar = tqdm(
            total=batches,
            initial=done,
            desc=f"epoch {epoch}/{self.epochs}",
            leave=False,
            disable=None,  # where nobody watches
            bar_format="{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{remaining} left] {postfix}",
            dynamic_ncols=True,
        )

    def advance(self, tally: Tally) -> None:
        self.bar.set_postfix_str(
            f"loss {tally.mean_loss:.4f}  accuracy {tally.accuracy:6.2%}  {tally.images_per_second:.0f} images/s",
            refresh=False,
        )
        self.bar.update()

    def testing(self) -> None:
        self.bar.set_postfix_str("testing")

    def end(self, record: Mapping[str, Any]) -> None:
        self.stop()
        print(
            f"epoch {record['epoch']:>{len(str(self.epochs))}}/{self.epochs}"
            f"  train loss {record['train_loss']:.4f}  accuracy {record['train_accuracy']:6.2%}"
            f"  |  test loss {record['test_loss']:.4f}  accuracy {record['test_accuracy']:6.2%}"
            f"  |  {record['images_per_second']:.0f} images/s  {record['seconds']:.1f} s",
            file=self.lines,
            flush=True,
        )

    def stop(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
