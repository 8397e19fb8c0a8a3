"""The fast CPU variants, from general to special:

- `im2col`     any convolution: windows copied block by block, then one product by BLAS;
- `pointwise`  1x1, stride 1: BLAS right on the activations, no copy;
- `direct`     any convolution: our own products on rows that lie anywhere in memory (`cpu/tile.py`), no copy;
- `winograd`   3x3, stride 1: F(4x4, 3x3), where there are tiles enough to pay for the filter's transform;
- `matrix_tiles`, `matrix_tile_rows`  stride 1, or few channels: matrix instructions, for weight gradients.
"""

from . import (
    cpu_direct,
    cpu_direct_weights,
    cpu_im2col,
    cpu_matrix_tiles,
    cpu_matrix_tiles_row_weights,
    cpu_matrix_tiles_weights,
    cpu_pointwise,
    cpu_winograd,
    cpu_winograd_weights,
)

__all__ = [
    "cpu_direct",
    "cpu_direct_weights",
    "cpu_im2col",
    "cpu_matrix_tiles",
    "cpu_matrix_tiles_row_weights",
    "cpu_matrix_tiles_weights",
    "cpu_pointwise",
    "cpu_winograd",
    "cpu_winograd_weights",
]
