"""What a library that minigrad stands on says unasked, and nobody needs to read."""

from __future__ import annotations

import logging


def _is_asked_for(record: logging.LogRecord) -> bool:
    return "jax profiler" not in record.getMessage()


def silence_grain() -> None:
    """Drop the one warning that Grain writes as it is imported: that it found no profiler of JAX.

    A worker process imports the program's main module again, and then Grain: so the main module must call this
    as it is imported, for its workers to be silent too.
    """
    logging.getLogger("absl").addFilter(_is_asked_for)
