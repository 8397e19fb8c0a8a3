"""Where and how to compute, as the command line asks for it."""

from __future__ import annotations

import sys

from minigrad.device import choose, describe
from minigrad.kernels.cpu.jit import get_num_threads, set_num_threads
from minigrad.kernels.errors import KernelError
from minigrad.kernels.registry import default_choices, set_default_kernels, tuned
from minigrad.kernels.tuned import Tuned
from minigrad.train.config import ConfigError

from .arguments import one_line


def choose_device(name: str) -> str:
    """ "cpu", "cuda" or "emulated"; "auto" is a GPU where one answers.

    Raises:
        DeviceError: says what is missing for the one that was named.
    """
    return choose(name)


def where(device: str, threads: int | None) -> str:
    """Where a command computes, in the words that all commands use."""
    return f"{describe(device)}, {threads} threads"


def apply_settings(kernels: str, threads: int | None) -> int:
    """Choose kernel variants and the number of threads for this process; gives that number.

    Where tuned choices are there and must be ignored, standard error says so.

    Raises:
        KernelError: an operation or variant of the environment variable that does not exist.
        ConfigError: one of `kernels`, or a number of threads that this machine cannot have.
    """
    default_choices()
    try:
        set_default_kernels(kernels, "--kernels")
    except KernelError as error:
        raise ConfigError(str(error)) from None
    if threads is not None:
        try:
            set_num_threads(threads)
        except ValueError as error:
            raise ConfigError(f"--threads {threads}: {error}") from None
    tell_trouble(tuned())
    return get_num_threads()


def tell_trouble(found: Tuned) -> None:
    """Say why tuned choices are ignored, if they are."""
    if found.trouble:
        print(f"minigrad: {one_line([found.trouble])}", file=sys.stderr, flush=True)
