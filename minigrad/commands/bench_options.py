"""The options of `minigrad bench`, and which of their values have no meaning."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from minigrad.train.atomic_file import PARTIAL_SUFFIX, is_stream
from minigrad.train.config import ConfigError

from .arguments import add_debug
from .user_kernels import add_kernel

DEVICES = ("cpu", "cuda", "emulated")
DTYPES = ("float32", "float64", "float16", "bfloat16")
# Of timing for each variant of a layer; a variant is timed five times at least.
SECONDS, SECONDS_OF_MANY, MANY_LAYERS = 0.3, 0.1, 200


def seconds_of_timing(arguments: argparse.Namespace, layers: int) -> float:
    """What was asked for; else less where layers are many, so that `bench all` takes minutes."""
    if arguments.seconds is not None:
        return float(arguments.seconds)
    return SECONDS_OF_MANY if layers > MANY_LAYERS else SECONDS


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("targets", metavar="OP", nargs="+", help="what to measure; or: compare OLD.json NEW.json")
    parser.add_argument("--model", default="googlenet", metavar="NAME", help="whose layers (default: googlenet)")
    parser.add_argument(
        "--layers", nargs="+", default=(), metavar="TEXT", help="only layers with one of these in their line"
    )
    parser.add_argument(
        "--problem", action="append", default=[], metavar="TEXT",
        help="a shape by hand instead of layers, as the tables print it: 'Conv2dProblem(batch=2, ...)'",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, metavar="N", help="images (8; cuda 64, emulated 2)")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="of the images (224; emulated 32)")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of activations (default: float32)")
    parser.add_argument(
        "--device", choices=DEVICES, default="cpu", help="default: cpu; emulated: nothing is timed"
    )
    add_kernel(parser)
    parser.add_argument("--variants", nargs="+", default=(), metavar="NAME", help="only these")
    parser.add_argument(
        "--odd", type=int, default=6, metavar="N", help="odd shapes that a variant must pass first (default: 6)"
    )
    parser.add_argument(
        "--tolerance", type=float, metavar="X", help="relative error allowed, instead of the dtype's"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="X",
        help=f"of timing a variant on a layer ({SECONDS}; for more than {MANY_LAYERS} layers: {SECONDS_OF_MANY})",
    )  # fmt: skip
    parser.add_argument("--warm", action="store_true", help="leave the arguments in the cache")
    parser.add_argument("--seed", type=int, metavar="N", help="of all random numbers (default: a new one)")
    parser.add_argument("--threads", type=int, metavar="N", help="default: every core")
    parser.add_argument(
        "--autotune", action="store_true", help="keep the fastest variant of each layer, for this machine to use"
    )
    parser.add_argument("--without-pytorch", action="store_true", help="do not time PyTorch beside")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all rows there, written layer by layer")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw roofline and times there, .png or .svg, a file an operation",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.05,
        metavar="X",
        help="compare: less than this share is no change (0.05)",
    )
    add_debug(parser)


def require_meaning(arguments: argparse.Namespace) -> None:
    """Refuse, before any work is done, what has no meaning."""
    for name in ("batch", "size"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} must be at least 1, not {value}")
    for name in ("odd", "seconds"):
        value = getattr(arguments, name)
        if value is not None and not 0 <= value < math.inf:
            raise ConfigError(f"--{name} must be a number from 0 on, not {value}")
    if arguments.seed is not None and arguments.seed < 0:
        raise ConfigError(f"--seed must not be negative, is {arguments.seed}")
    if arguments.tolerance is not None and not arguments.tolerance > 0:
        raise ConfigError(f"--tolerance must be above 0, not {arguments.tolerance}")
    for name in ("json", "plot"):
        path = getattr(arguments, name)
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"--{name}: there is no folder {path.parent}")
        if path is not None:
            _require_writable(name, path)
    if arguments.plot is not None and arguments.plot.suffix not in (".png", ".svg"):
        raise ConfigError(f"--plot {arguments.plot}: a picture ends in .png or .svg")
    for name in ("plot", "autotune"):
        if getattr(arguments, name) and arguments.device == "emulated":
            raise ConfigError(f"--{name} needs times, and on --device emulated there are none")
    if arguments.autotune and arguments.variants:
        raise ConfigError("--autotune looks for the fastest of all variants: leave --variants out")


def _require_writable(option: str, path: Path) -> None:
    """Refuse a file that cannot be written before time is spent on what goes there."""
    if path.is_dir():
        raise ConfigError(f"--{option} {path}: it is a folder")
    if is_stream(path):
        if option == "plot":
            raise ConfigError(f"--{option} {path}: it is a device or pipe, and no file")
        return  # written to at the end
    probe = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        probe.open("ab").close()
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"--{option} {path}: {error.strerror}") from error
