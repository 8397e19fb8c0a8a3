"""The errors a person can meet, each of them one clear sentence."""

from __future__ import annotations


class MinigradError(Exception):
    """Base of every error that minigrad raises about what a person gave it."""


class ShapeError(MinigradError, ValueError):
    """Shapes, axes or window sizes that do not fit together."""


class DTypeError(MinigradError, TypeError):
    """A data type that the operation has no meaning for."""


class DeviceError(MinigradError, RuntimeError):
    """A device that does not exist, or not on this machine, or arrays that lie on different ones."""


class KernelError(MinigradError, RuntimeError):
    """A kernel variant that is unknown, or that cannot run the given problem."""


class SourceError(KernelError):
    """A kernel's source that does not compile, or that names what there is not; with file and line."""


class ThreadsError(MinigradError, ValueError):
    """A number of threads that this machine cannot have."""
