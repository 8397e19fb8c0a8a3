"""Ctrl-C, heard at once and obeyed at the next step's end, where everything fits together and can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a person; the message says what was saved."""


class Interruption:
    """Whether Ctrl-C was pressed inside of `listening`."""

    requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside this `with` block the first Ctrl-C only sets `requested`; a second one interrupts as usual."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals arrive in the main thread only
            return

        def note(number: int, frame: FrameType | None) -> None:
            self.requested = True
            signal.signal(signal.SIGINT, before)

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
