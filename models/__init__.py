"""GoogLeNet and its parts (import name: minigrad.models).

A session uses:

    build("googlenet", num_classes=10)      a model by name
    loss(model(images), labels)             its loss, auxiliary heads included
    summary(model, size=224)                the paper's Table 1 for it

The parts, to build other networks of, stand beside them.
"""

from collections.abc import Callable
from typing import Any

from minigrad.kernels.errors import MinigradError

from .googlenet import BasicConv2d, GoogLeNet, GoogLeNetOutputs, Inception, InceptionAux, loss
from .googlenet_paper import GoogLeNetPaper
from .inception_naive import NaiveInception
from .table import summary

MODELS: dict[str, Callable[..., GoogLeNet]] = {"googlenet": GoogLeNet, "googlenet-paper": GoogLeNetPaper}


def build(name: str, **options: Any) -> GoogLeNet:
    """The model called `name` ("googlenet" or "googlenet-paper"), with the arguments of its class.

    Raises:
        MinigradError: if no model has that name, or an argument is out of range.
    """
    if name not in MODELS:
        raise MinigradError(f"there is no model {name!r}; there are: {', '.join(MODELS)}")
    return MODELS[name](**options)


__all__ = [
    "MODELS",
    "BasicConv2d",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "GoogLeNetPaper",
    "Inception",
    "InceptionAux",
    "NaiveInception",
    "build",
    "loss",
    "summary",
]
