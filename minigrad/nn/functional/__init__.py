"""Neural-network functions with the signatures of torch.nn.functional.

Images are (N, C, H, W); a single image (C, H, W) is taken as a batch of one. All functions are differentiable to
second order and beyond. Shapes that do not fit raise ShapeError, dtypes without a meaning DTypeError.
"""

from ...ops.elementwise import relu, sigmoid, tanh
from .convolution import conv2d, conv_transpose2d
from .linear import linear
from .losses import cross_entropy, log_softmax, mse_loss, softmax
from .normalization import batch_norm, dropout, local_response_norm
from .pooling import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from .resampling import interpolate

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "interpolate",
    "linear",
    "local_response_norm",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]
