"""What each kernel takes of a GPU, from NVIDIA's compiler, without a GPU.

    python -m minigrad.kernels.cuda.resources                         every kernel and architecture (minutes)
    python -m minigrad.kernels.cuda.resources pool2d --arch sm_90     those of the files whose path has "pool2d"

NVRTC comes from PyPI: the compiler in `nvidia-cuda-nvrtc`, the way to call it in `cuda-bindings`, the headers of
half and bfloat16 in `nvidia-cuda-runtime`, `nvidia-cuda-crt` and `nvidia-cuda-cccl`. Reports are kept in the
user's cache by the hash of all that went in.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from ... import kernels
from ..errors import KernelError
from .compiler import cache_folder, first_error, source_digest
from .gpu import options
from .launch import SOURCES, CudaSource, Defines

ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120")
CUPYS = ("-ftz=true", "--device-as-default-execution-space")  # what CuPy adds to the options that it is given
COMPILERS = 2  # at a time; a compilation holds no lock of Python


@dataclass(frozen=True)
class Resources:
    """Of one kernel: registers a thread, static shared memory a block, bytes of registers spilled to memory."""

    source: str
    kernel: str
    defines: str
    architecture: str
    registers: int
    shared_bytes: int
    spilled_bytes: int


def resources(source: CudaSource, defines: Defines, architecture: str) -> list[Resources]:
    """Compile one specialisation for `architecture` and read the compiler's report.

    Raises:
        KernelError: if it does not compile; with file, line and the compiler's words.
    """
    from cuda.bindings import nvrtc

    described = ", ".join(f"{name}={value}" for name, value in defines.items())
    arguments = (*options(tuple(defines.items())), *CUPYS, f"-arch={architecture}", "--ptxas-options=-v")
    text = source.file.read_text()
    key = hashlib.sha256(repr((nvrtc.nvrtcVersion(), arguments, text, source_digest())).encode()).hexdigest()
    kept = cache_folder().parent / "resources" / f"{source.file.stem}-{key[:20]}.json"
    if kept.exists():
        return [Resources(**entry) for entry in json.loads(kept.read_text())]
    log = _compile(text, source.path, (*arguments, f"-I{_cuda_headers()}"))
    report = [
        Resources(source.path, kernel, described, architecture, registers, shared, spilled)
        for kernel, registers, shared, spilled in _read(log)
    ]
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps([asdict(entry) for entry in report]))
    return report


def _cuda_headers() -> Path:
    """The folder of cuda_fp16.h, as the packages of NVIDIA install it."""
    import nvidia

    folders = [folder for root in nvidia.__path__ for folder in Path(root).glob("cu*/include")]
    found = [folder for folder in folders if (folder / "cuda_fp16.h").exists()]
    if not found:
        raise KernelError(
            "NVRTC needs cuda_fp16.h: install nvidia-cuda-runtime, nvidia-cuda-crt and nvidia-cuda-cccl"
        )
    return found[-1]


def _compile(text: str, name: str, arguments: tuple[str, ...]) -> str:
    """The log of a compilation."""
    from cuda.bindings import nvrtc

    _, program = nvrtc.nvrtcCreateProgram(text.encode(), name.encode(), 0, [], [])
    (status,) = nvrtc.nvrtcCompileProgram(program, len(arguments), [item.encode() for item in arguments])
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytearray(size)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(program)
    words = log.decode(errors="replace").rstrip("\0")
    if int(status) != 0:
        raise KernelError(f"{name} does not compile for CUDA: {first_error(words)}")
    return words


def _read(log: str) -> Iterator[tuple[str, int, int, int]]:
    """Kernel, registers, shared memory and spilled bytes, from what `--ptxas-options=-v` prints."""
    for part in log.split("Compiling entry function '")[1:]:
        registers = re.search(r"Used (\d+) registers", part)
        shared = re.search(r"(\d+) bytes smem", part)
        spilled = re.search(r"(\d+) bytes spill stores", part)
        if registers is None or spilled is None:
            raise KernelError(f"the compiler's report has another form than expected: {part!r}")
        yield part.split("'")[0], int(registers[1]), int(shared[1]) if shared else 0, int(spilled[1])


def all_sources() -> list[CudaSource]:
    """Every `.cu` file of the package."""
    for module in pkgutil.iter_modules(kernels.__path__, f"{kernels.__name__}."):
        if module.ispkg:
            importlib.import_module(module.name)  # declares its sources
    return [source for source in SOURCES.values() if not Path(source.path).is_absolute()]


def table(sources: list[CudaSource], architectures: tuple[str, ...] = ARCHITECTURES) -> list[Resources]:
    """The resources of every kernel of `sources`, in every specialisation, on every architecture."""
    jobs = [(s, d, a) for s in sources for d in s.specialisations() for a in architectures]
    with ThreadPoolExecutor(COMPILERS) as pool:
        reports = pool.map(lambda job: resources(*job), jobs)
        return [entry for report in reports for entry in report]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command at the top of this file."""
    parser = argparse.ArgumentParser(
        "python -m minigrad.kernels.cuda.resources", description=__doc__.split("\n")[0]
    )
    parser.add_argument("part", nargs="?", default="", help="of the paths of the files, such as pool2d")
    parser.add_argument("--arch", choices=ARCHITECTURES, help="one architecture (default: all)")
    given = parser.parse_args(arguments)
    sources = [source for source in all_sources() if given.part in source.path]
    if not sources:
        known = ", ".join(source.path for source in all_sources())
        parser.error(f"no file has {given.part!r} in its path; there are: {known}")
    rows = [tuple(field.name.replace("_", " ") for field in fields(Resources))]
    try:
        for source in sources:
            print(f"compiling {source.path}", file=sys.stderr)
            rows += [astuple(entry) for entry in table([source], (given.arch,) if given.arch else ARCHITECTURES)]
    except (KernelError, ImportError) as error:
        missing = " (install minigrad[test], or cuda-bindings and nvidia-cuda-nvrtc)"
        parser.exit(1, f"{error}{missing if isinstance(error, ImportError) else ''}\n")
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(str(value).ljust(width) for value, width in zip(row, widths, strict=True)).rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
