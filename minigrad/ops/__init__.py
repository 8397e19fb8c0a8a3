"""Differentiable operations, one file a family: forward on raw arrays, backward on Tensors."""

from . import methods as methods  # attaches the operators to Tensor
