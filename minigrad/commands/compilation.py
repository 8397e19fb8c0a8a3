"""Compiling the kernels before a run, with words for the person who waits, if there is anything to wait for."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from minigrad.data import ImageDataset
    from minigrad.nn import Module
    from minigrad.train.config import TrainConfig

ANNOUNCEMENT = "compiling kernels for this machine (once; cached on disk)"
LINE_EVERY = 10  # kernels, where the words go into a file


def compile_kernels(config: TrainConfig, dataset: ImageDataset, model: Module) -> None:
    """Compile all that training `model` on `dataset` needs, and say so; see `minigrad.train.warm_up`."""
    from minigrad.kernels.cpu.compile_ahead import collecting, compile_ahead
    from minigrad.train.loop import make_objective
    from minigrad.train.warm_up import compilations, warm_up

    if config.device == "emulated":
        return  # a step in the emulator takes longer than the compilation that it would announce
    size = dataset.preparation.image_size
    shape = (min(config.batch_size, len(dataset.train)), 3, size, size)
    started = time.perf_counter()
    notice = Notice(sys.stderr)

    def step() -> None:
        warm_up(config, model, make_objective(config), shape, len(dataset.class_names), config.device)

    ahead = 0
    if config.device == "cpu":
        with collecting() as needed:
            step()
        ahead = compile_ahead(needed, notice, notice.expect)
    with compilations(lambda done, name: notice(ahead + done, name)) as listener:
        step()
    if count := ahead + listener.count:
        notice.finish(f"compiled {count} kernels in {time.perf_counter() - started:.1f} s")


class Notice:
    """Tells of each compilation: on a terminal by a bar, in a file now and then by a new line."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.expected: int | None = None
        self.next_line = 0
        self.bar: Any = None

    def expect(self, kernels: int) -> None:
        """Say how many there will be, or a few more."""
        self.expected = kernels

    def __call__(self, done: int, name: str) -> None:
        if self.expected is not None:
            self.expected = max(self.expected, done + 1)
        if self.stream.isatty():
            self._draw(done, name)
        elif done >= self.next_line:
            self.next_line = done + LINE_EVERY
            total = "" if self.expected is None else f" of about {self.expected}"
            print(f"{ANNOUNCEMENT} ... {done}{total} done", file=self.stream, flush=True)

    def _draw(self, done: int, name: str) -> None:
        from tqdm import tqdm

        if self.bar is None:
            known = "{percentage:3.0f}% |{bar}| {n_fmt} of about {total_fmt}{postfix}"
            counted = known if self.expected is not None else "... {n_fmt} done{postfix}"
            self.bar = tqdm(
                total=self.expected,
                desc=ANNOUNCEMENT,
                file=self.stream,
                leave=False,
                bar_format="{desc} " + counted,
                dynamic_ncols=True,
            )
        self.bar.n, self.bar.total = done, self.expected
        self.bar.set_postfix_str(f"now {name}")

    def finish(self, words: str) -> None:
        if self.bar is not None:
            self.bar.close()
        print(words, file=self.stream, flush=True)
