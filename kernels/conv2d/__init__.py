"""2-D convolution (cross-correlation, as everywhere in deep learning) and its two gradients.

    y[n, k, p, q] = bias[k] + sum over c, r, s of
                    x[n, c, p*stride - padding + r*dilation, q*stride - padding + s*dilation] * w[k, c, r, s]

    forward(problem, x, weight, bias)          -> y        x (N,C,H,W), weight (K,C/groups,R,S), bias (K,) or
                                                           None
    forward_relu(problem, x, weight, bias)     -> max(0, y), in the same pass over memory; NaN stays NaN
    input_gradient(problem, gy, weight)        -> gx       gy (N,K,P,Q); x outside of the image counts as zero
    forward_statistics(problem, x, weight, bias) -> y, mean, variance: those of each channel of y over N, P and Q
                                                  (biased, (K,), float64 for float64, else float32 or wider)
    weight_gradient(problem, x, gy)            -> gweight  (K,C/groups,R,S), C-contiguous

Activations may have any strides; results of the CPU and CUDA variants lie channels-last. The fast variants of
`forward` and `forward_relu` write y to `out=`, a channels-last array or a slice of channels of one, where it is
given. All other arrays have `problem.dtype`. Forward and gradients are linear in each argument and each other's
derivatives: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv 1603.07285.
"""

from ..registry import Operation
from .problem import Conv2dProblem

forward = Operation("conv2d_forward", family="conv2d")
forward_relu = Operation("conv2d_forward_relu", family="conv2d")
forward_statistics = Operation("conv2d_forward_statistics", family="conv2d")
input_gradient = Operation("conv2d_input_gradient", family="conv2d")
weight_gradient = Operation("conv2d_weight_gradient", family="conv2d")

from . import cpu, cuda, reference  # noqa: E402  (they register their variants on the operations above)

__all__ = [
    "Conv2dProblem",
    "cpu",
    "cuda",
    "forward",
    "forward_relu",
    "forward_statistics",
    "input_gradient",
    "reference",
    "weight_gradient",
]
