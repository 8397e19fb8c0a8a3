"""The same operations in PyTorch, where it is installed: a yardstick; nothing else in the package asks for it."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from minigrad.kernels.arrays import device_of
from minigrad.kernels.cpu.jit import get_num_threads
from minigrad.kernels.errors import MinigradError

from .contracts import Arguments, Contract, arrays_in
from .contracts.contract import Call


def installed() -> bool:
    """Whether PyTorch is there."""
    return importlib.util.find_spec("torch") is not None


def torch_call(contract: Contract, problem: Any, arguments: Arguments) -> Call | None:
    """The same operation on channels-last tensors of PyTorch's with the same values; None where there is none.

    What works in place there changes copies. It is called once, so that what PyTorch cannot do is known at once.

    Raises:
        MinigradError: if PyTorch cannot compute it, as some operations in 16 bits; with PyTorch's words.
    """
    if contract.torch is None or not installed():
        return None
    import torch

    torch.set_num_threads(get_num_threads())
    on_gpu = "cuda" in {device_of(array) for array in arrays_in(tuple(arguments.values()))}
    if on_gpu and not torch.cuda.is_available():
        return None
    with torch.no_grad():
        tensors = {
            name: _tensors(torch, value, copied=name in contract.changes) for name, value in arguments.items()
        }
        try:
            call = contract.torch(torch, problem, tensors)
            call()
        except Exception as error:
            words = str(error).partition("\n")[0]
            raise MinigradError(f"it raises {type(error).__name__}: {words}") from error
    return _without_gradients(torch, call)


def _without_gradients(torch: Any, call: Call) -> Call:
    def run() -> Any:
        with torch.no_grad():
            return call()

    return run


def _tensors(torch: Any, value: Any, copied: bool) -> Any:
    if isinstance(value, tuple):
        return tuple(_tensors(torch, item, copied) for item in value)
    if not hasattr(value, "strides"):
        return value
    if device_of(value) == "cuda":
        tensor = torch.from_dlpack(value)
    elif value.dtype == np.dtype("bfloat16"):
        tensor = torch.from_numpy(np.array(value, order="C", copy=None).view(np.uint16)).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(np.array(value, order="C", copy=None))
    # The weight of a convolution too: PyTorch would otherwise convert it at each call.
    tensor = tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
    return tensor.clone() if copied else tensor
