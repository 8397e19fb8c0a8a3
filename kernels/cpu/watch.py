"""Have any of these arrays changed? Asked of all of them at once, at the speed of reading them on every thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .fingerprint import FACTORS, fingerprint_of_words
from .pointers import elements
from .recording import paused
from .rows import span
from .tasks import MOST_TASKS, address_of, task_kernel

WORD = 4  # bytes
CHUNK = 1 << 14  # words
CHUNKS_PER_TASK = 3  # some 20 microseconds: about what waking another thread costs


@task_kernel
def _fingerprints(task, tasks, like, chunks, factors, found):  # type: ignore[no-untyped-def]
    """found[i] = the fingerprint of chunk i; a chunk is an address and a number of words."""
    for i in range(*span(task, tasks, len(found))):
        found[i] = fingerprint_of_words(elements(like, chunks[i, 0], 0, chunks[i, 1]), factors)


class Watch:
    """The numbers in `arrays` as they are now, by their fingerprints.

    Args:
        arrays: the watch keeps them alive. Those that are not contiguous are copied to be read.
    """

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self._arrays = list(arrays)
        contiguous = all(array.flags.c_contiguous for array in arrays)
        self._chunks = _chunks(self._arrays) if contiguous else None
        self._seen = self._found()

    def _found(self) -> bytes:
        arrays, chunks = self._arrays, self._chunks
        if chunks is None:
            arrays = [np.ascontiguousarray(array) for array in arrays]
            chunks = _chunks(arrays)
        ends = b"".join(_end(array) for array in arrays if array.nbytes % WORD)
        found = np.empty(len(chunks), np.uint64)
        if len(found):
            with paused():  # whoever records work does not want this done again with it
                tasks = max(1, min(MOST_TASKS, len(found) // CHUNKS_PER_TASK))
                _fingerprints(tasks, np.empty(0, np.uint32), chunks, FACTORS, found)
        return found.tobytes() + ends

    def sees_change(self) -> bool:
        """Whether a number is another one than when this watch was made."""
        return self._found() != self._seen


def _chunks(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Address and length in words of each chunk."""
    places = [
        (address_of(array) + WORD * start, min(CHUNK, array.nbytes // WORD - start))
        for array in arrays
        for start in range(0, array.nbytes // WORD, CHUNK)
    ]
    return np.array(places, np.int64).reshape(-1, 2)


def _end(array: np.ndarray) -> bytes:
    """The bytes behind the last whole word."""
    return array.reshape(-1).view(np.uint8)[array.nbytes // WORD * WORD :].tobytes()
