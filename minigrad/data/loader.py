"""Batches of prepared images, read ahead in the background through Grain.

An epoch's batches follow from (seed, epoch) alone: they are the same bits for any number of threads and
worker processes, and starting at batch k gives the batches that would have come from there on. So a
position in the data is two numbers, the epoch and the batch.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from minigrad.kernels.errors import MinigradError
from minigrad.third_party import silence_grain

from .arguments import whole_number
from .dataset import ImageDataset

Batch = tuple[np.ndarray, np.ndarray]

silence_grain()


@dataclass(frozen=True)
class Loader:
    """The batches of one part of a data set.

    A batch is (images, labels): float32 (N, 3, H, W), lying channels-last in memory, and int64 (N,).

    Args:
        dataset: where the images come from.
        training: the training part, shuffled and augmented; otherwise the test part, in order, unchanged.
        batch_size: images in a batch; the last batch of an epoch is smaller where they do not divide. In
            training a last batch of one image is left out, because batch norm has no statistics of one value.
        seed: of the order and the augmentation, 0 or more.
        rank, world_size: of this process among those that share the data. In training every rank gets
            the same number of images (up to world_size - 1 are left out of an epoch), so that all take the
            same steps.
        threads: that prepare batches in this process; 0 prepares them when they are asked for.
        workers: processes that prepare batches; each holds a copy of the source. A script that asks for some
            needs an `if __name__ == "__main__"` guard.

    Raises:
        MinigradError: an argument out of range, or fewer images than ranks.
    """

    dataset: ImageDataset
    training: bool
    batch_size: int
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    threads: int = 1
    workers: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, ImageDataset):
            raise MinigradError(f"dataset must be an ImageDataset, not {type(self.dataset).__name__}")
        for name, least in (
            ("batch_size", 1),
            ("seed", 0),
            ("rank", 0),
            ("world_size", 1),
            ("threads", 0),
            ("workers", 0),
        ):
            whole_number(name, getattr(self, name), least)
        if not 0 <= self.rank < self.world_size:
            raise MinigradError(f"rank must lie in 0..{self.world_size - 1} (world_size - 1), not {self.rank}")
        if self.images == 0:
            raise MinigradError(
                f"the {'training' if self.training else 'test'} part of {self.dataset.name!r} has "
                f"{len(self._source)} images, too few for {self.world_size} processes"
            )

    @property
    def images(self) -> int:
        """How many images this rank sees in an epoch, a left-out last one included."""
        if self.training:
            return len(self._source) // self.world_size
        return len(range(self.rank, len(self._source), self.world_size))

    def __len__(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(self.images, self.batch_size)
        left_out = rest == 0 or (self.training and rest == 1 and full > 0)
        return full if left_out else full + 1

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch number `epoch` (from 0), from batch number `start` on.

        Raises:
            MinigradError: a number out of range; and, when its turn comes, an image that cannot be decoded.
        """
        whole_number("epoch", epoch, 0)
        if whole_number("start", start, 0) > len(self):
            raise MinigradError(f"there is no batch {start} of epoch {epoch}: an epoch has {len(self)} batches")
        return self._batches(epoch, start)

    @property
    def _source(self) -> Any:
        return self.dataset.train if self.training else self.dataset.test

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        if start == len(self):
            return
        iterator = iter(self._pipeline(epoch, start))
        shared = True if self.workers else None
        try:
            with _workers_deaf_to_interrupts(self.workers):
                batch = next(iterator, None)
            while batch is not None:
                images, labels = batch
                # Worker processes hand over arrays in shared memory, which is given back at once.
                yield np.array(images, copy=shared).transpose(0, 3, 1, 2), np.array(labels, copy=shared)
                batch = next(iterator, None)
        finally:
            iterator.close()

    def _pipeline(self, epoch: int, start: int) -> Any:
        import grain  # takes half a second, which `minigrad predict` need not spend

        dataset = grain.MapDataset.source(self._source)
        if self.training:
            seed = int(np.random.SeedSequence((self.seed, epoch)).generate_state(1)[0])
            dataset = dataset.seed(seed).shuffle()[: self.images * self.world_size]
        dataset = dataset[self.rank :: self.world_size]
        dataset = dataset.random_map(self._augmented) if self.training else dataset.map(self._prepared)
        dataset = dataset.batch(self.batch_size)[start : len(self)]
        # Two batches ready for each thread: one that is being taken, one that is being made.
        reading = grain.ReadOptions(num_threads=self.threads, prefetch_buffer_size=2 * self.threads)
        processes = grain.MultiprocessingOptions(num_workers=self.workers, per_worker_buffer_size=2)
        return dataset.to_iter_dataset(reading).mp_prefetch(processes)

    def _augmented(
        self, element: tuple[Image.Image, int], generator: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        image, label = element
        return self.dataset.augmentation(image, self.dataset.preparation, generator), label

    def _prepared(self, element: tuple[Image.Image, int]) -> tuple[np.ndarray, int]:
        image, label = element
        return self.dataset.preparation(image), label


@contextmanager
def _workers_deaf_to_interrupts(workers: int) -> Iterator[None]:
    """Processes started inside this `with` block do not hear Ctrl-C, which a terminal sends to all.

    It is this process that decides what Ctrl-C ends; here it is only put off until the block's end.
    """
    if not workers or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which a new process inherits
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
