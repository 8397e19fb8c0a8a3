"""The fast CPU variants, from general to special:

- `im2col`     any convolution: windows copied block by block, then one matrix product;
- `pointwise`  1x1, stride 1: matrix products right on the activations, no copy.
"""

from . import cpu_direct, cpu_im2col, cpu_pointwise, cpu_winograd, cpu_winograd_weights

__all__ = ["cpu_im2col", "cpu_pointwise"]
