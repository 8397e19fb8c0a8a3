"""PyTorch's network, made to decide as another run did: what ReLU lets through, and which element is the largest.

Where two numbers are nearly equal, the last digit decides, and the gradient is another one: a single decision in
the last layers changes all gradients by a hundredth. So gradients are compared of two runs that decided alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .torch_googlenet import ConvNormReLU, ConvReLU, Head

SMALL = 1e-12  # beside activations of about 1
NEARLY = 1e-3  # of a layer's largest number: runs that differ by more differ by other than rounding


def follow_decisions(
    model: nn.Module, activations: Mapping[str, np.ndarray], pooled: Mapping[str, np.ndarray]
) -> list[Any]:
    """Let forward passes of `model` decide as the run did that had these numbers; gives the hooks to remove.

    Args:
        activations: outputs by module; those of units come after their ReLU, those of a head's `fc1` before it.
        pooled: inputs of the max pools by module.
    """
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, ConvNormReLU):
            hooks.append(module.bn.register_forward_hook(_on_the_side_of(activations[name])))
        elif isinstance(module, ConvReLU):
            hooks.append(module.conv.register_forward_hook(_on_the_side_of(activations[name])))
        elif isinstance(module, Head):
            hooks.append(module.fc1.register_forward_hook(_on_the_side_of(activations[f"{name}.fc1"])))
        elif isinstance(module, nn.MaxPool2d):
            hooks.append(module.register_forward_pre_hook(_with_the_values_of(pooled[name])))
    return hooks


def _on_the_side_of(other: np.ndarray) -> Any:
    """A hook that moves what lies on the other side of zero just across; the gradient passes as it is."""
    positive = torch.from_numpy(other > 0)

    def move(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        value = output.detach()
        across = torch.where(positive, SMALL, -SMALL) - value
        moved = torch.where((value > 0) == positive, 0.0, across)
        require_nearly_equal(moved, value)
        return output + moved

    return move


def _with_the_values_of(other: np.ndarray) -> Any:
    """A hook that puts the run's numbers in the place of the input's, so that the same one is the largest."""

    def replace(module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        (x,) = inputs
        moved = torch.from_numpy(other).to(x.dtype) - x.detach()
        require_nearly_equal(moved, x.detach())
        return x + moved

    return replace


def require_nearly_equal(moved: Tensor, values: Tensor) -> None:
    """Raises ValueError where the runs differ by more than rounding."""
    distance, largest = moved.abs().max().item(), values.abs().max().item()
    if not distance <= NEARLY * largest:
        raise ValueError(f"the runs differ by {distance:.1e} where the largest number is {largest:.1e}")
