"""The launches of CUDA kernels, in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minigrad.kernels.cuda.launch import CudaKernel, launch_listeners


@contextmanager
def counted_launches() -> Iterator[list[str]]:
    """The launches of CUDA kernels inside this `with` block."""
    launches: list[str] = []

    def note(kernel: CudaKernel, grid: tuple[int, ...], block: tuple[int, ...], shared_bytes: int) -> None:
        sizes = ("x".join(str(n) for n in _trimmed(size)) for size in (grid, block))
        shared = f", {shared_bytes} bytes shared" if shared_bytes else ""
        launches.append("{} {} blocks of {} threads{}".format(kernel.name, *sizes, shared))

    launch_listeners.append(note)
    try:
        yield launches
    finally:
        launch_listeners.remove(note)


def _trimmed(size: tuple[int, ...]) -> tuple[int, ...]:
    """Without the ones at the end."""
    while len(size) > 1 and size[-1] == 1:
        size = size[:-1]
    return size
