"""Batches follow from seed and epoch alone, can start anywhere, and share the data out among ranks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.data import ArrayImages, Augmentation, Batch, ImageDataset, Loader, Preparation
from minigrad.kernels.errors import MinigradError


def dataset(train: int, test: int = 7) -> ImageDataset:
    """Small pictures in which every one differs, labels counting up."""

    def source(count: int) -> ArrayImages:
        images = np.random.default_rng(count).integers(0, 256, (count, 12, 10, 3), dtype=np.uint8)
        return ArrayImages(images, np.arange(count), classes=count)

    return ImageDataset(
        name="small",
        class_names=tuple(map(str, range(train))),
        train=source(train),
        test=source(test),
        preparation=Preparation(8),
        augmentation=Augmentation(shift=2, flip=True, resized_crop=True),
    )


def training(**arguments: int) -> Loader:
    images = arguments.pop("images", 23)
    return Loader(dataset(images), training=True, **{"batch_size": 4, **arguments})


def same(first: list[Batch], second: list[Batch]) -> bool:
    """Whether the batches agree bit for bit."""
    return len(first) == len(second) and all(
        a.tobytes() == b.tobytes()
        for one, two in zip(first, second, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def labels(loader: Loader, epoch: int = 0) -> list[int]:
    return [int(label) for _, batch in loader.epoch(epoch) for label in batch]


def test_a_batch_is_float32_channels_last_in_memory() -> None:
    images, targets = next(training().epoch(0))
    assert images.shape == (4, 3, 8, 8)
    assert images.dtype == np.float32
    assert images.transpose(0, 2, 3, 1).flags.c_contiguous
    assert images.flags.writeable
    assert type(images) is np.ndarray
    assert targets.shape == (4,)
    assert targets.dtype == np.int64


def test_an_epoch_holds_every_image_once() -> None:
    assert sorted(labels(training())) == list(range(23))


def test_the_order_changes_with_the_epoch_and_with_the_seed() -> None:
    orders = [labels(training(seed=seed), epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_augmentation_changes_with_the_epoch() -> None:
    first, second = (
        {label: image.tobytes() for images, targets in training().epoch(epoch)
         for image, label in zip(images, targets.tolist(), strict=True)}
        for epoch in (0, 1)
    )  # fmt: skip
    assert first.keys() == second.keys()
    assert sum(first[label] != second[label] for label in first) > 20


def test_the_test_part_comes_in_order_and_unchanged() -> None:
    data = dataset(5)
    loader = Loader(data, training=False, batch_size=3)
    batches = list(loader.epoch(0))
    assert same(batches, list(loader.epoch(9)))
    assert [len(targets) for _, targets in batches] == [3, 3, 1]
    images = np.concatenate([images for images, _ in batches])
    for index in range(7):
        np.testing.assert_array_equal(images[index].transpose(1, 2, 0), data.preparation(data.test[index][0]))


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_any_number_of_threads_gives_the_same_bits(threads: int) -> None:
    assert same(list(training(threads=threads).epoch(2)), list(training(threads=1).epoch(2)))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_worker_processes_gives_the_same_bits(workers: int) -> None:
    batches = list(training(workers=workers).epoch(2))
    assert same(batches, list(training().epoch(2)))
    assert all(type(images) is np.ndarray and images.flags.writeable for images, _ in batches)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_starting_at_a_batch_gives_what_would_have_come(data: st.DataObject) -> None:
    world_size = data.draw(st.integers(1, 3))
    loader = training(
        images=data.draw(st.integers(3, 30)),
        batch_size=data.draw(st.integers(1, 9)),
        seed=data.draw(st.integers(0, 2**40)),
        rank=data.draw(st.integers(0, world_size - 1)),
        world_size=world_size,
    )
    start = data.draw(st.integers(0, len(loader)))
    whole = list(loader.epoch(4))
    assert len(whole) == len(loader)
    assert same(list(loader.epoch(4, start)), whole[start:])


@given(images=st.integers(1, 40), batch_size=st.integers(1, 9), world_size=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_ranks_share_the_data_and_take_the_same_steps(images: int, batch_size: int, world_size: int) -> None:
    if images < world_size:
        with pytest.raises(MinigradError, match="too few"):
            training(images=images, world_size=world_size)
        return
    loaders = [
        training(images=images, batch_size=batch_size, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    epochs = [list(loader.epoch(0)) for loader in loaders]
    sizes = [[len(targets) for _, targets in epoch] for epoch in epochs]
    assert all(size == sizes[0] for size in sizes)
    seen = [label for epoch in epochs for _, targets in epoch for label in targets.tolist()]
    assert len(seen) == len(set(seen))
    # Left out: what does not divide among the ranks, and a last batch of one image on each.
    assert images - len(seen) <= (world_size - 1) + world_size


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_the_whole_test_part(world_size: int) -> None:
    seen: list[int] = []
    for rank in range(world_size):
        loader = Loader(dataset(5), training=False, batch_size=2, rank=rank, world_size=world_size)
        assert len(list(loader.epoch(0))) == len(loader)
        seen += labels(loader)
    assert sorted(seen) == list(range(7))


@pytest.mark.parametrize(
    ("images", "batch_size", "sizes"),
    [(9, 4, [4, 4]), (10, 4, [4, 4, 2]), (8, 4, [4, 4]), (1, 4, [1]), (3, 1, [1, 1, 1])],
)
def test_a_last_batch_of_one_image_is_left_out_of_training(images: int, batch_size: int, sizes: list[int]) -> None:
    loader = training(images=images, batch_size=batch_size)
    assert [len(targets) for _, targets in loader.epoch(0)] == sizes
    assert len(loader) == len(sizes)


def test_an_epoch_can_be_left_early() -> None:
    batches = training().epoch(0)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert len(list(training().epoch(0))) == 6


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"threads": -1}, "threads"),
        ({"workers": -1}, "workers"),
        ({"world_size": 0}, "world_size"),
        ({"rank": 2, "world_size": 2}, "rank"),
        ({"rank": -1}, "rank"),
    ],
)
def test_an_argument_out_of_range_is_named(arguments: dict[str, int], named: str) -> None:
    with pytest.raises(MinigradError, match=named):
        training(**arguments)


@pytest.mark.parametrize(
    ("epoch", "start", "message"),
    [(-1, 0, "epoch must be at least 0"), (0, -1, "start must be at least 0"), (0, 7, "an epoch has 6 batches")],
)
def test_a_position_outside_the_data_is_refused_at_once(epoch: int, start: int, message: str) -> None:
    with pytest.raises(MinigradError, match=message):
        training().epoch(epoch, start)


def test_the_command_lines_worker_processes_say_nothing(tmp_path: Path) -> None:
    """A worker imports the main module, as that of the command line does here, and then Grain, which has words."""
    script = tmp_path / "main.py"
    script.write_text(
        "import minigrad.cli\n"
        "if __name__ == '__main__':\n"
        "    from minigrad.data import Loader, load_dataset\n"
        "    loader = Loader(load_dataset('digits'), training=False, batch_size=100, workers=1)\n"
        "    print(sum(len(labels) for _, labels in loader.epoch(0)))\n"
    )
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker"}
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=quiet)
    assert (result.stdout, result.stderr) == ("360\n", "")
