"""Which layers a model runs for an image, in what order, with what shapes and what cost.

The model really runs, on a batch of no images: shapes and errors are those of a real run, and there is nothing to
compute.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from minigrad.autograd import no_grad
from minigrad.creation import zeros
from minigrad.kernels.registry import use_kernels
from minigrad.nn import Conv2d, Linear, Module
from minigrad.tensor import Tensor

Shape = tuple[int, ...]


class Layer(NamedTuple):
    """One run of a module that has no parts.

    Attributes:
        path: its name in the model, such as "inception3a.branch2.0.conv".
        module: the module itself.
        input_shape, output_shape: of one image, without the batch's axis.
    """

    path: str
    module: Module
    input_shape: Shape
    output_shape: Shape

    @property
    def parameters(self) -> int:
        """How many numbers are trained in this layer."""
        return sum(parameter.size for parameter in self.module.parameters())

    @property
    def weights(self) -> int:
        """How many of them are weights of a convolution or of a linear layer, without biases."""
        return self.module.weight.size if isinstance(self.module, Conv2d | Linear) else 0

    @property
    def multiply_adds(self) -> int:
        """Multiplications, each with an addition, in the convolution or product of one image."""
        if isinstance(self.module, Conv2d):
            return self.weights * math.prod(self.output_shape[1:])
        if isinstance(self.module, Linear):
            return self.weights * math.prod(self.output_shape[:-1])
        return 0


class Cost(NamedTuple):
    """What layers cost in all; see `Layer` for what is counted."""

    parameters: int
    weights: int
    multiply_adds: int


def cost(layers: Iterable[Layer]) -> Cost:
    """The cost of all `layers`."""
    return add(Cost(layer.parameters, layer.weights, layer.multiply_adds) for layer in layers)


def add(costs: Iterable[Cost]) -> Cost:
    """The sum of `costs`."""
    return Cost(*(sum(column) for column in zip(Cost(0, 0, 0), *costs, strict=True)))


def trace(model: Module, image_shape: Shape, training: bool = False) -> list[Layer]:
    """The layers that `model` runs for an image of `image_shape` (C, H, W), in order.

    Args:
        model: its parts are in evaluation meanwhile, so that no running statistic changes; modes are restored.
        image_shape: the shape of one input, without the batch's axis.
        training: whether the model itself (not its parts) takes its path of training, through auxiliary heads.

    Raises:
        ShapeError: if the model takes no such image.
    """
    layers: list[Layer] = []
    names = {id(module): name for name, module in model.named_modules()}

    def record(module: Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        layers.append(Layer(names[id(module)], module, inputs[0].shape[1:], output.shape[1:]))

    modes = [(module, module.training) for module in model.modules()]
    hooks = [m.register_forward_hook(record) for m in model.modules() if not any(m.children())]
    dtype = next((parameter.dtype for parameter in model.parameters()), "float32")
    try:
        model.eval()
        model.training = training
        with no_grad(), use_kernels("reference"):
            model(zeros((0, *image_shape), dtype))
    finally:
        for module, mode in modes:
            module.training = mode
        for hook in hooks:
            hook.remove()
    return layers
