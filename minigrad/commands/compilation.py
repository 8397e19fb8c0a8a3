"""Compiling the kernels before a run, with words for the person who waits, if there is anything to wait for."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from minigrad.data import ImageDataset
    from minigrad.nn import Module
    from minigrad.train.config import TrainConfig

ANNOUNCEMENT = "compiling kernels for this machine (once; cached on disk)"
WIDTH = 110  # of the line that a terminal shows
LINE_EVERY = 10  # kernels, where the words go into a file


def compile_kernels(config: TrainConfig, dataset: ImageDataset, model: Module) -> None:
    """Compile all that training `model` on `dataset` needs, and say so; see `minigrad.train.warm_up`."""
    from minigrad.train.loop import make_objective
    from minigrad.train.warm_up import compilations, warm_up

    size = dataset.preparation.image_size
    shape = (min(config.batch_size, len(dataset.train)), 3, size, size)
    started = time.perf_counter()
    notice = Notice(sys.stderr)
    with compilations(notice) as listener:
        warm_up(config, model, make_objective(config), shape, len(dataset.class_names), config.device)
    if listener.count:
        notice.finish(f"compiled {listener.count} kernels in {time.perf_counter() - started:.1f} s")


class Notice:
    """Tells of each compilation: on a terminal in one changing line, in a file now and then in a new one."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.next_line = 0

    def __call__(self, done: int, name: str) -> None:
        if self.stream.isatty():
            line = f"{ANNOUNCEMENT} ... {done} done, now {name}"
            print(f"\r{line[:WIDTH]:<{WIDTH}}", end="", file=self.stream, flush=True)
        elif done >= self.next_line:
            self.next_line = done + LINE_EVERY
            print(f"{ANNOUNCEMENT} ... {done} done", file=self.stream, flush=True)

    def finish(self, words: str) -> None:
        print(f"\r{words:<{WIDTH}}" if self.stream.isatty() else words, file=self.stream, flush=True)
