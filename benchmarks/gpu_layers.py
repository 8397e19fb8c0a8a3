"""Each of GoogLeNet's convolutions, batch norms, poolings and concatenations on a GPU beside PyTorch's (cuDNN).

    python -m benchmarks.gpu_layers [--device cuda] [--tiny] [--batch 256] [--dtype bfloat16] [--json FILE]

Both read the same memory, channels-last. Results are compared before anything is timed. GB/s counts what a pass
has to read and write, whatever a kernel really moves; shares are of a copy and a product measured in the same run.
`count` says how many layers have that shape, and totals weigh by it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.gpu_clock import Ceilings, Clock, Timing, gpu_stamp, measure_ceilings
from benchmarks.layers import googlenet_convolutions, shape_of
from minigrad.device import library
from minigrad.kernels import batch_norm, concat, conv2d, pool2d
from minigrad.kernels.arrays import on_host
from minigrad.kernels.errors import MinigradError
from minigrad.kernels.registry import Operation

# Of the norm; results of 16 bits are rounded once to 8 or 11 digits, and PyTorch's weight gradients twice.
TOLERANCES = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 4e-3}
INCEPTION_OUTPUTS = {
    28: [(64, 128, 32, 32), (128, 192, 96, 64)],
    14: [(192, 208, 48, 64), (160, 224, 64, 64), (128, 256, 64, 64), (112, 288, 64, 64), (256, 320, 128, 128)],
    7: [(256, 320, 128, 128), (384, 384, 128, 128)],
}
INCEPTION_INPUTS = {28: (192, 256), 14: (480, 512, 512, 512, 528), 7: (832, 832)}
Pass = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One shape of one kernel. `moved` are bytes, `work` multiplications and additions."""

    kernel: str
    layer: str
    count: int
    variant: str
    ours: Pass
    theirs: Pass
    moved: int
    work: int = 0


class Operands:
    """Random channels-last tensors on the device, and the same memory as minigrad's arrays."""

    def __init__(self, device: str, dtype: str) -> None:
        self.device, self.dtype = device, dtype
        self.kind = getattr(torch, dtype)
        self.place = "cuda" if device == "cuda" else "cpu"
        torch.manual_seed(0)

    def random(self, *shape: int, scale: float = 1.0, dtype: str | None = None) -> torch.Tensor:
        kind = getattr(torch, dtype) if dtype else self.kind
        tensor = (torch.randn(shape, device=self.place) * scale).to(kind)
        return tensor.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else tensor

    def array(self, tensor: torch.Tensor) -> Any:
        """The memory of `tensor` (on "emulated" a copy) as an array; 16 bits travel as integers through DLPack."""
        name = str(tensor.dtype).removeprefix("torch.")
        flat = tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor
        if name == "bfloat16":
            flat = flat.view(torch.int16)
        xp = library(self.device)
        array = xp.from_dlpack(flat) if self.device == "cuda" else xp.asarray(flat.numpy())
        if name == "bfloat16":
            array = array.view(np.dtype("bfloat16"))
        return array.transpose(0, 3, 1, 2) if tensor.ndim == 4 else array


def chosen(operation: Operation, problem: Any, device: str) -> str:
    return operation.select(problem, device).name


def convolutions(options: argparse.Namespace, operands: Operands) -> Iterator[Case]:
    for base, count in googlenet_convolutions(options.batch, options.size).items():
        fields = {**asdict(base), "dtype": options.dtype}
        problem = conv2d.Conv2dProblem(**fields)
        x, gy = operands.random(*problem.input_shape), operands.random(*problem.output_shape)
        weight = operands.random(*problem.weight_shape, scale=1 / math.sqrt(math.prod(problem.weight_shape[1:])))
        ours_x, ours_gy = operands.array(x), operands.array(gy)
        ours_weight = library(options.device).ascontiguousarray(operands.array(weight))  # order C is minigrad's
        stride, padding = list(problem.stride), list(problem.padding)
        moved = _bytes(x, weight, gy)

        def back(
            mask: list[bool], x: Any = x, weight: Any = weight, gy: Any = gy, s: Any = stride, p: Any = padding
        ) -> Any:
            return torch.ops.aten.convolution_backward(gy, x, weight, None, s, p, [1, 1], False, [0, 0], 1, mask)

        passes: list[tuple[str, Operation, tuple[Any, ...], Pass]] = [
            ("conv2d forward", conv2d.forward, (ours_x, ours_weight, None),
             lambda x=x, w=weight, s=stride, p=padding: torch.conv2d(x, w, None, s, p)),
            ("conv2d input gradient", conv2d.input_gradient, (ours_gy, ours_weight),
             lambda back=back: back([True, False, False])[0]),
            ("conv2d weight gradient", conv2d.weight_gradient, (ours_x, ours_gy),
             lambda back=back: back([False, True, False])[1]),
        ]  # fmt: skip
        for name, operation, arguments, theirs in passes:
            if name == "conv2d input gradient" and problem.in_channels == 3:
                continue  # training never asks for it
            yield Case(
                name, shape_of(problem), count, chosen(operation, problem, options.device),
                lambda operation=operation, problem=problem, arguments=arguments: operation(problem, *arguments),
                theirs, moved, 2 * problem.multiply_adds,
            )  # fmt: skip


def batch_norms(options: argparse.Namespace, operands: Operands) -> Iterator[Case]:
    shapes: Counter[tuple[int, int, int, int]] = Counter()
    for problem, count in googlenet_convolutions(options.batch, options.size).items():
        shapes[problem.output_shape] += count
    for shape, count in shapes.items():
        channels = shape[1]
        problem = batch_norm.BatchNormProblem(shape, 1e-3, True, options.dtype)
        x, gy = operands.random(*shape), operands.random(*shape)
        weight, bias = (operands.random(channels, dtype="float32") for _ in range(2))
        arrays = [operands.array(t) for t in (x, weight, bias)]
        _, mean, _, inverse_std = batch_norm.forward_training(problem, *arrays)
        for_gradient = operands.array(gy), *arrays, mean, inverse_std
        leaf = x.detach().requires_grad_()
        parameters = [t.detach().requires_grad_() for t in (weight, bias)]

        def forward(x: Any = leaf, parameters: Any = parameters) -> Any:
            return F.relu(F.batch_norm(x, None, None, *parameters, training=True, eps=1e-3))

        recorded = forward()

        def backward(y: Any = recorded, gy: Any = gy, inputs: Any = (leaf, *parameters)) -> Any:
            return torch.autograd.grad(y, inputs, gy, retain_graph=True)

        layer = f"{channels}x{shape[2]}x{shape[3]}"
        yield Case(
            "batch norm + ReLU forward", layer, count,
            chosen(batch_norm.forward_training, problem, options.device),
            lambda problem=problem, arrays=arrays: batch_norm.forward_training(problem, *arrays),
            forward, 3 * _bytes(x),  # x is read twice, for the statistics first
        )  # fmt: skip
        yield Case(
            "batch norm + ReLU backward", layer, count,
            chosen(batch_norm.backward_training, problem, options.device),
            lambda problem=problem, arrays=for_gradient: batch_norm.backward_training(problem, *arrays),
            backward, 5 * _bytes(x),  # x and gy are read twice
        )  # fmt: skip


def poolings(options: argparse.Namespace, operands: Operands) -> Iterator[Case]:
    scale = options.size / 224
    windows = [(64, 112, 3, 2, 0), (192, 56, 3, 2, 0), (480, 28, 3, 2, 0), (832, 14, 2, 2, 0)]
    windows += [(channels, image, 3, 1, 1) for image, inputs in INCEPTION_INPUTS.items() for channels in inputs]
    for (channels, image, size, stride, pad), count in Counter(windows).items():
        side = max(2, round(image * scale))
        problem = pool2d.Pool2dProblem(
            (options.batch, channels, side, side), (size, size), (stride, stride), (pad, pad), (1, 1), True,
            dtype=options.dtype,
        )  # fmt: skip
        x, gy = operands.random(*problem.shape), operands.random(*problem.output_shape)
        ours_x, ours_gy = operands.array(x), operands.array(gy)
        _, indices = pool2d.max_forward(problem, ours_x)
        leaf = x.detach().requires_grad_()

        def forward(x: Any = leaf, size: int = size, stride: int = stride, pad: int = pad) -> Any:
            return F.max_pool2d(x, size, stride, pad, ceil_mode=True)

        recorded = forward()
        layer = f"{channels}x{side}x{side}, {size}x{size}/{stride}"
        yield Case(
            "max pool forward", layer, count, chosen(pool2d.max_forward, problem, options.device),
            lambda problem=problem, x=ours_x: pool2d.max_forward(problem, x), forward,
            _bytes(x, gy) + gy.numel(),
        )  # fmt: skip
        yield Case(
            "max pool backward", layer, count, chosen(pool2d.max_input_gradient, problem, options.device),
            lambda problem=problem, gy=ours_gy, i=indices: pool2d.max_input_gradient(problem, gy, i),
            lambda y=recorded, x=leaf, gy=gy: torch.autograd.grad(y, x, gy, retain_graph=True)[0],
            _bytes(x, gy) + gy.numel(),
        )  # fmt: skip


def concatenations(options: argparse.Namespace, operands: Operands) -> Iterator[Case]:
    for image, widths in INCEPTION_OUTPUTS.items():
        side = max(2, round(image * options.size / 224))
        for channels in widths:
            parts = [operands.random(options.batch, width, side, side) for width in channels]
            arrays = tuple(operands.array(part) for part in parts)
            problem = concat.ConcatProblem(tuple(a.shape for a in arrays), 1, options.dtype)
            yield Case(
                "concat (copied)", f"{'+'.join(map(str, channels))} {side}x{side}", 1,
                chosen(concat.forward, problem, options.device),
                lambda problem=problem, arrays=arrays: concat.forward(problem, arrays),
                lambda parts=parts: torch.cat(parts, 1), 2 * _bytes(*parts),
            )  # fmt: skip


def _bytes(*tensors: torch.Tensor) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def error_of(case: Case) -> float:
    """The norm of the difference to PyTorch's over the norm of PyTorch's; of the first two images where there are
    more, as weights and other results that are not images are looked at whole."""
    ours, theirs = case.ours(), case.theirs()
    ours = ours[0] if isinstance(ours, tuple | list) else ours
    theirs = theirs[0] if isinstance(theirs, tuple | list) else theirs
    if "weight gradient" not in case.kernel:
        ours, theirs = ours[:2], theirs[:2]
    found, right = on_host(ours).astype(np.float64), theirs.detach().double().cpu().numpy()
    if found.shape != right.shape:
        raise MinigradError(f"{case.kernel} {case.layer}: shape {found.shape}, PyTorch's is {right.shape}")
    return float(np.linalg.norm(found - right) / np.linalg.norm(right))


def measure(case: Case, clock: Clock, ceilings: Ceilings, tolerance: float) -> dict[str, Any]:
    error = error_of(case)
    if not error <= tolerance:  # a NaN fails too
        raise MinigradError(
            f"{case.kernel} {case.layer}: error {error:.1e} beside PyTorch is above {tolerance:.0e}"
        )
    ours, theirs = clock.time(case.ours, case.theirs)
    row: dict[str, Any] = {
        "kernel": case.kernel, "layer": case.layer, "count": case.count, "variant": case.variant, "error": error,
        "moved": case.moved, "work": case.work, "ours": ours.to_json(), "torch": theirs.to_json(),
    }  # fmt: skip
    if ours.median_ms and theirs.median_ms and ceilings.bytes_per_second and ceilings.operations_per_second:
        seconds = ours.median_ms / 1e3
        row |= {
            "ratio": theirs.median_ms / ours.median_ms,
            "gb_per_s": case.moved / seconds / 1e9,
            "tflops": case.work / seconds / 1e12,
            "share_of_copy": case.moved / seconds / ceilings.bytes_per_second,
            "share_of_product": case.work / seconds / ceilings.operations_per_second,
        }
    return row


HEADER = (
    f"{'kernel':27} {'layer':30} {'count':>5} {'variant':>26} {'error':>8} {'ours ms':>8} {'p20-p80':>13} "
    f"{'torch ms':>8} {'ratio':>5} {'GB/s':>5} {'%copy':>5} {'TFLOP/s':>7} {'%peak':>5}"
)


def line(row: dict[str, Any]) -> str:
    start = f"{row['kernel']:27} {row['layer']:30} {row.get('count', ''):>5} {row.get('variant', ''):>26} "
    if "failed" in row:
        return f"{start} {row['failed']}"
    if "ratio" not in row:
        return f"{start}{row['error']:8.1e}  (not timed)"
    ours = Timing(**row["ours"])
    return (
        f"{start}{row['error']:8.1e} {ours.median_ms:8.3f} {ours.p20_ms:6.3f}-{ours.p80_ms:6.3f} "
        f"{row['torch']['median_ms']:8.3f} {row['ratio']:5.2f} {row['gb_per_s']:5.0f} "
        f"{100 * row['share_of_copy']:5.0f} {row['tflops']:7.1f} {100 * row['share_of_product']:5.0f}"
    )


def totals(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One line a kernel: the milliseconds of all its layers in one step."""
    lines = []
    for kernel in dict.fromkeys(row["kernel"] for row in rows):
        timed = [row for row in rows if row["kernel"] == kernel and "ratio" in row]
        ours = sum(row["count"] * row["ours"]["median_ms"] for row in timed)
        theirs = sum(row["count"] * row["torch"]["median_ms"] for row in timed)
        if timed:
            lines.append(
                f"{kernel:27} all layers: ours {ours:8.2f} ms, PyTorch {theirs:8.2f} ms, ratio {theirs / ours:.2f}"
            )
    return lines


KINDS = {"conv2d": convolutions, "batch_norm": batch_norms, "pool2d": poolings, "concat": concatenations}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_layers", description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cuda", "emulated"), default="cuda", help="default: %(default)s")
    parser.add_argument("--tiny", action="store_true", help="one small image in float32, the first shapes only")
    parser.add_argument("--batch", type=int, default=256, help="images (default %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="pixels a side (default %(default)s)")
    parser.add_argument("--dtype", choices=tuple(TOLERANCES), default="bfloat16", help="default: %(default)s")
    parser.add_argument("--kernels", nargs="+", choices=tuple(KINDS), default=list(KINDS), help="default: all")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args(arguments)
    if options.tiny:
        options.batch, options.size, options.dtype = 1, 32, "float32"
    torch.backends.cudnn.benchmark = True  # PyTorch may look for its fastest convolutions
    torch.backends.cudnn.allow_tf32 = False
    clock, operands = Clock(options.device), Operands(options.device, options.dtype)
    ceilings = measure_ceilings(clock, torch)
    stamp = {**gpu_stamp(options.device), **asdict(ceilings)}
    print(json.dumps(stamp), f"\n{options.dtype}, batch {options.batch}\n{HEADER}", flush=True)
    rows: list[dict[str, Any]] = []
    for kind in options.kernels:
        for number, case in enumerate(KINDS[kind](options, operands)):
            if options.tiny and number >= 3:
                break
            try:
                rows.append(measure(case, clock, ceilings, TOLERANCES[options.dtype]))
            except (MinigradError, MemoryError, RuntimeError) as error:
                rows.append(
                    {"kernel": case.kernel, "layer": case.layer, "failed": f"{type(error).__name__}: {error}"}
                )
            print(line(rows[-1]), flush=True)
            if options.json is not None:
                options.json.write_text(json.dumps({"stamp": stamp, "rows": rows}, indent=1) + "\n")
    print("\n".join(totals(rows)))
    return 1 if any("failed" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
