"""The same operations in PyTorch, where it is installed: a yardstick; nothing else in the package asks for it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.kernels.arrays import device_of
from minigrad.kernels.cpu.jit import get_num_threads

from .contracts import Arguments

Call = Callable[[], Any]


def installed() -> bool:
    """Whether PyTorch is there."""
    return importlib.util.find_spec("torch") is not None


def torch_call(operation: str, problem: Any, arguments: Arguments) -> Call | None:
    """The same operation on channels-last tensors of PyTorch's with the same values; None where there is none."""
    make = CALLS.get(operation)
    if make is None or not installed():
        return None
    import torch

    torch.set_num_threads(get_num_threads())
    if "cuda" in {device_of(array) for array in arguments.values()} and not torch.cuda.is_available():
        return None
    with torch.no_grad():
        call = make(torch, problem, {name: _tensors(torch, value) for name, value in arguments.items()})
    return None if call is None else _without_gradients(torch, call)


def _without_gradients(torch: Any, call: Call) -> Call:
    def run() -> Any:
        with torch.no_grad():
            return call()

    return run


def _tensors(torch: Any, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_tensors(torch, item) for item in value)
    if not hasattr(value, "strides"):
        return value
    if device_of(value) == "cuda":
        tensor = torch.from_dlpack(value)
    elif value.dtype == np.dtype("bfloat16"):
        tensor = torch.from_numpy(np.ascontiguousarray(value).view(np.uint16)).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(np.ascontiguousarray(value))
    # The weight of a convolution too: PyTorch would otherwise convert it at each call.
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _convolution(torch: Any, p: Any, a: Arguments) -> Call:
    stride, padding, dilation = list(p.stride), list(p.padding), list(p.dilation)
    return lambda: torch.conv2d(a["x"], a["weight"], a["bias"], stride, padding, dilation, p.groups)


def _convolution_relu(torch: Any, p: Any, a: Arguments) -> Call:
    convolve = _convolution(torch, p, a)
    return lambda: torch.relu_(convolve())


def _convolution_gradient(which: int) -> Callable[[Any, Any, Arguments], Call]:
    def make(torch: Any, p: Any, a: Arguments) -> Call:
        like = a["gy"]
        x = a.get("x", torch.empty(p.input_shape, dtype=like.dtype, device=like.device))
        weight = a.get("weight", torch.empty(p.weight_shape, dtype=like.dtype, device=like.device))
        x, weight = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (x, weight))
        mask = [which == 0, which == 1, False]
        pairs = list(p.stride), list(p.padding), list(p.dilation)
        backward = torch.ops.aten.convolution_backward
        return lambda: backward(like, x, weight, None, *pairs, False, [0, 0], p.groups, mask)[which]

    return make


def _max_pool(torch: Any, p: Any, a: Arguments) -> Call:
    window = p.kernel_size, p.stride, p.padding, p.dilation, p.ceil_mode
    return lambda: torch.nn.functional.max_pool2d_with_indices(a["x"], *window)


def _max_pool_gradient(torch: Any, p: Any, a: Arguments) -> Call:
    x = torch.randn(p.shape, dtype=torch.float32).to(a["gy"]).contiguous(memory_format=torch.channels_last)
    window = p.kernel_size, p.stride, p.padding, p.dilation, p.ceil_mode
    _, indices = torch.nn.functional.max_pool2d_with_indices(x, *window)
    backward = torch.ops.aten.max_pool2d_with_indices_backward
    return lambda: backward(a["gy"], x, *window, indices)


def _average_pool(torch: Any, p: Any, a: Arguments) -> Call:
    window = p.kernel_size, p.stride, p.padding, p.ceil_mode, p.count_include_pad, p.divisor_override
    return lambda: torch.nn.functional.avg_pool2d(a["x"], *window)


def _adaptive_pool(torch: Any, p: Any, a: Arguments) -> Call:
    return lambda: torch.nn.functional.adaptive_avg_pool2d(a["x"], p.output_size)


def _adaptive_pool_gradient(torch: Any, p: Any, a: Arguments) -> Call:
    x = torch.empty(p.shape, dtype=a["gy"].dtype, device=a["gy"].device).contiguous(
        memory_format=torch.channels_last
    )
    return lambda: torch.ops.aten._adaptive_avg_pool2d_backward(a["gy"], x)


def _norm_training(torch: Any, p: Any, a: Arguments) -> Call:
    def call() -> Any:
        y, *rest = torch.native_batch_norm(a["x"], a["weight"], a["bias"], None, None, True, 0.1, p.epsilon)
        return torch.relu_(y) if p.relu else y, rest

    return call


def _norm_evaluation(torch: Any, p: Any, a: Arguments) -> Call:
    def call() -> Any:
        y = torch.nn.functional.batch_norm(
            a["x"], a["mean"], a["variance"], a["weight"], a["bias"], False, 0.1, p.epsilon
        )
        return torch.relu_(y) if p.relu else y

    return call


def _norm_gradient(torch: Any, p: Any, a: Arguments) -> Call:
    """With ReLU, its mask comes from a y that was kept, as in PyTorch's own training."""
    shape = (1, -1, 1, 1)
    y = (a["x"] - a["mean"].reshape(shape)) * (a["weight"] * a["inverse_std"]).reshape(shape)
    y = torch.relu_(y + a["bias"].reshape(shape)).to(a["x"].dtype)

    def call() -> Any:
        gy = torch.ops.aten.threshold_backward(a["gy"], y, 0) if p.relu else a["gy"]
        return torch.ops.aten.native_batch_norm_backward(
            gy, a["x"], a["weight"], None, None, a["mean"], a["inverse_std"], True, p.epsilon, [True] * 3
        )

    return call


def _concat(torch: Any, p: Any, a: Arguments) -> Call:
    return lambda: torch.cat(a["arrays"], p.axis)


def _cross_entropy(torch: Any, p: Any, a: Arguments) -> Call:
    loss = torch.nn.functional.cross_entropy
    return lambda: loss(
        a["logits"], a["targets"], None, ignore_index=p.ignore_index, reduction="none",
        label_smoothing=p.label_smoothing,
    )  # fmt: skip


def _response(torch: Any, p: Any, a: Arguments) -> Call:
    return lambda: torch.nn.functional.local_response_norm(a["x"], p.size, p.alpha, p.beta, p.k)


CALLS: dict[str, Callable[[Any, Any, Arguments], Call | None]] = {
    "conv2d_forward": _convolution,
    "conv2d_forward_relu": _convolution_relu,
    "conv2d_input_gradient": _convolution_gradient(0),
    "conv2d_weight_gradient": _convolution_gradient(1),
    "max_pool2d_forward": _max_pool,
    "max_pool2d_input_gradient": _max_pool_gradient,
    "average_pool2d_forward": _average_pool,
    "adaptive_average_pool2d_forward": _adaptive_pool,
    "adaptive_average_pool2d_input_gradient": _adaptive_pool_gradient,
    "batch_norm_forward_training": _norm_training,
    "batch_norm_forward_evaluation": _norm_evaluation,
    "batch_norm_backward_training": _norm_gradient,
    "concat": _concat,
    "cross_entropy_forward": _cross_entropy,
    "local_response_norm_forward": _response,
}
