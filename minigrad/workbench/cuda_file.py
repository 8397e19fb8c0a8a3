"""A kernel in a CUDA C++ file of the user's own: the comment that says how it is launched, and the launch.

    /* minigrad kernel
    operation: conv2d_forward
    name:      mine
    kernel:    convolve
    arguments: x, weight, bias, y, in_channels, input_height, input_width
    grid:      ceil_div(batch * out_channels * output_height * output_width, 256)
    block:     256
    shared:    0
    layout:    channels_last
    dtypes:    float32, float64
    supports:  groups == 1 and dilation_height == 1
    */

Needed are operation, arguments, grid and block. `kernel` is the function, `extern "C" __global__`, by default
called as the variant; the variant is by default called as the file. `arguments`, in the function's order, are the
operation's arrays and results by name, and numbers: an expression is an `int`, `int64(...)` a `long long`,
`float32(...)` and `float64(...)` what they say. `grid` and `block` are one to three expressions, x first. The file
is compiled with -DREAL=float, double, __half or __nv_bfloat16, as the problem's dtype is one of `dtypes`
(float32 by default). Activations and their gradients come C-contiguous or channels-last, as `layout` says;
everything else, filters (K, C / groups, R, S) too, is C-contiguous. An array that is None (bias) is a null
pointer. Where an argument is a tuple of arrays (concat's), the kernel is launched once for each, called `part`,
and the result begins where that part goes. What an operation changes in place (accumulate_add_to) is an argument,
and no result.

Expressions are Python's, on the numbers of the problem (`names_of`; `names` and `parts` of its contract), with
ceil_div, min and max.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from minigrad.kernels.arrays import Array
from minigrad.kernels.cuda.buffers import contiguous, empty, empty_channels_last
from minigrad.kernels.cuda.dtypes import REAL
from minigrad.kernels.cuda.launch import CudaSource
from minigrad.kernels.errors import KernelError, SourceError

from .contracts import Contract, arrays_in, contract_named

COMMENT = re.compile(r"/\*\s*minigrad kernel\s*\n(.*?)\*/", re.DOTALL)
NEEDED = ("operation", "arguments", "grid", "block")
OPTIONAL = {
    "name": "",
    "kernel": "",
    "shared": "0",
    "layout": "channels_last",
    "dtypes": "float32",
    "supports": "True",
}
LAYOUTS = ("channels_last", "contiguous")
PAIRS = {"input_size": "input", "output_size": "output", "filter_size": "filter", "kernel_size": "kernel"}


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


FUNCTIONS: dict[str, Any] = {
    "ceil_div": ceil_div, "min": min, "max": max, "int": int, "int64": np.int64, "float32": np.float32,
    "float64": np.float64,
}  # fmt: skip


def names_of(problem: Any) -> dict[str, Any]:
    """The numbers of a problem by name: its fields, with pairs as ..._height and ..._width.

    A shape (N, C, H, W) is batch, channels, height, width. `output_size` is there, too, where a problem has it.
    What is None is 0.
    """
    values = {item.name: getattr(problem, item.name) for item in dataclasses.fields(problem)}
    if hasattr(problem, "output_size"):
        values["output_size"] = problem.output_size
    names: dict[str, Any] = {}
    for name, value in values.items():
        if name == "shape" and len(value) == 4:
            names |= dict(zip(("batch", "channels", "height", "width"), value, strict=True))
        elif isinstance(value, tuple) and len(value) == 2:
            stem = PAIRS.get(name, name)
            names |= {f"{stem}_height": value[0], f"{stem}_width": value[1]}
        elif isinstance(value, int | float) or value is None:
            names[name] = 0 if value is None else value
    return names


@dataclasses.dataclass(frozen=True)
class Expressions:
    """The expressions of one line of the comment, separated by commas.

    Raises:
        KernelError: if Python cannot read them, or, at `values`, cannot compute them; with file and line. It is a
            SourceError if they name a number that the problem does not have.
    """

    key: str
    text: str
    place: str

    @property
    def code(self) -> CodeType:
        try:
            return compile(f"({self.text},)", self.place, "eval")
        except SyntaxError as error:
            raise KernelError(f"{self.place}: {self.key}: {error.msg} in {self.text!r}") from error

    def values(self, names: Mapping[str, Any]) -> tuple[Any, ...]:
        try:
            result: tuple[Any, ...] = eval(self.code, {"__builtins__": {}}, {**FUNCTIONS, **names})
        except NameError as error:
            raise SourceError(f"{self.place}: {self.key}: {error}; there are: {', '.join(names)}") from error
        except (ArithmeticError, TypeError, ValueError) as error:
            raise KernelError(f"{self.place}: {self.key}: {self.text}: {error}") from error
        return result


class CudaFile:
    """A kernel file, ready to be registered.

    Raises:
        KernelError: if there is no such file, or its comment is missing or wrong; with file and line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text()
        comment = COMMENT.search(text)
        if comment is None:
            raise KernelError(f"{path}: there is no comment that begins with '/* minigrad kernel' and a new line")
        self.lines = self._read(comment[1], text[: comment.start(1)].count("\n") + 1)
        self.contract = self._contract()
        self.name = self.lines["name"].text or path.stem
        layout, dtypes = self.lines["layout"], self.lines["dtypes"]
        if layout.text not in LAYOUTS:
            raise KernelError(f"{layout.place}: layout is {' or '.join(LAYOUTS)}, not {layout.text}")
        self.dtypes = tuple(dtype.strip() for dtype in dtypes.text.split(","))
        if any(dtype not in REAL for dtype in self.dtypes):
            raise KernelError(f"{dtypes.place}: dtypes are of {', '.join(REAL)}; not {dtypes.text}")
        self.source = CudaSource(str(path.resolve()), REAL=tuple(REAL[dtype] for dtype in self.dtypes))
        self.kernel = self.lines["kernel"].text or self.name
        if self.kernel not in self.source.kernels:
            place = self.lines["kernel"].place
            raise KernelError(
                f"{place}: there is no kernel {self.kernel}; there is {', '.join(self.source.kernels)}"
            )
        for key in ("arguments", "grid", "block", "shared", "supports"):
            _ = self.lines[key].code

    def _read(self, comment: str, first: int) -> dict[str, Expressions]:
        """The lines `key: text`; one without a key goes on with the line before."""
        found: dict[str, tuple[str, int]] = {}
        key = ""
        for number, line in enumerate(comment.splitlines(), first):
            start = re.match(r"\s*(\w+)\s*:(.*)", line)
            if start:
                key = start[1]
                if key not in (*NEEDED, *OPTIONAL):
                    known = ", ".join((*NEEDED, *OPTIONAL))
                    raise KernelError(f"{self.path}, line {number}: there is no key {key!r}; there are: {known}")
                found[key] = (start[2].strip(), number)
            elif line.strip() and key:
                found[key] = (f"{found[key][0]} {line.strip()}", found[key][1])
        missing = [name for name in NEEDED if name not in found]
        if missing:
            raise KernelError(f"{self.path}, line {first}: the comment does not say {' and '.join(missing)}")
        given = {name: (text, first) for name, text in OPTIONAL.items()} | found
        return {k: Expressions(k, text, f"{self.path}, line {number}") for k, (text, number) in given.items()}

    def _contract(self) -> Contract:
        line = self.lines["operation"]
        try:
            contract = contract_named(line.text)
        except KernelError as error:
            raise KernelError(f"{line.place}: {error}") from error
        if contract.lists and contract.parts is None:
            raise KernelError(f"{line.place}: {line.text} takes lists of arrays; write its launch in Python")
        return contract

    def refuses(self, problem: Any) -> str | None:
        """The predicate of the variant, from `dtypes` and `supports`."""
        if problem.dtype not in self.dtypes:
            return f"it is written for {', '.join(self.dtypes)}, not {problem.dtype}"
        supports = self.lines["supports"]
        return None if supports.values(self.names(problem))[0] else f"it supports only: {supports.text}"

    def launch(self, problem: Any, *inputs: Any) -> Any:
        """The variant's function."""
        contract, lists = self.contract, self.contract.lists
        given = dict(zip(contract.inputs.split(), inputs, strict=True))
        like = arrays_in(inputs)[0]
        arrays = {name: self._laid_out(name, value) for name, value in given.items() if name not in lists}
        results = {} if contract.changes else {
            name: self._empty(name, shape, np.dtype(dtype), like)
            for name, (shape, dtype) in contract.outputs(problem).items()
        }  # fmt: skip
        names = self.names(problem)
        if contract.parts is None:
            self._launch(problem, names, arrays | results)
        else:
            for part, (place, numbers) in zip(given[lists[0]], contract.parts(problem), strict=True):
                own = {name: result[place] for name, result in results.items()}
                own["part"] = self._laid_out("part", part)
                self._launch(problem, {**names, **numbers}, arrays | own)
        for name in contract.changes:
            if arrays[name] is not given[name]:
                given[name][...] = arrays[name]
        outputs = tuple(results.values())
        return outputs if len(outputs) > 1 else outputs[0] if outputs else None

    def names(self, problem: Any) -> dict[str, Any]:
        """The numbers that expressions may use."""
        return names_of(problem) | dict(self.contract.names(problem))

    def _launch(self, problem: Any, names: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        arguments = self.lines["arguments"].values({**names, **arrays})
        grid, block = (tuple(int(n) for n in self.lines[key].values(names)) for key in ("grid", "block"))
        self.source.kernel(self.kernel, REAL=REAL[problem.dtype])(
            grid, block, *map(_scalar, arguments), shared_bytes=int(self.lines["shared"].values(names)[0])
        )

    def _laid_out(self, name: str, value: Any) -> Any:
        if not hasattr(value, "strides"):
            return value
        if not self._is_channels_last(name, value.shape):
            return contiguous(value)
        # Not buffers.channels_last, which leaves a slice of a wider array's channels where it is.
        return contiguous(value.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)

    def _empty(self, name: str, shape: tuple[int, ...], dtype: np.dtype, like: Array) -> Array:
        if not self._is_channels_last(name, shape):
            return empty(shape, dtype, like)
        n, c, h, w = shape
        return empty_channels_last((n, c, h, w), dtype, like)

    def _is_channels_last(self, name: str, shape: tuple[int, ...]) -> bool:
        plain = name == "gweight" or name in self.contract.contiguous
        return len(shape) == 4 and not plain and self.lines["layout"].text == "channels_last"


def _scalar(value: Any) -> Any:
    """What a launch takes: arrays and null pointers as they are, Python's numbers as int and double."""
    if isinstance(value, bool | int):
        return np.int32(value)
    return np.float64(value) if isinstance(value, float) else value
