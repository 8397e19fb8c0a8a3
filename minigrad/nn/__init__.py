"""Layers and models with parameters, under PyTorch's names."""

from . import functional, init
from .activation import Dropout, Flatten, ReLU
from .branches import concat_branches
from .captured import Captured
from .containers import Identity, ModuleList, Sequential
from .conv_unit import ConvBatchNorm2d, conv_batch_norm
from .convolution import Conv2d, ConvTranspose2d
from .linear import Linear
from .loss import CrossEntropyLoss, MSELoss
from .module import HookHandle, Module, module_path, running_modules
from .normalization import BatchNorm2d, LocalResponseNorm
from .parameter import Buffer, Parameter
from .pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from .state import StateError

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "Buffer",
    "Captured",
    "Conv2d",
    "ConvBatchNorm2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "HookHandle",
    "Identity",
    "Linear",
    "LocalResponseNorm",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "StateError",
    "concat_branches",
    "conv_batch_norm",
    "functional",
    "init",
    "module_path",
    "running_modules",
]
