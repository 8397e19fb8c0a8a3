"""Local response normalisation across channels, and its gradient.

    s[c] = k + alpha / size * sum of x[j]**2 over c - size//2 <= j <= c + (size-1)//2
    y[c] = x[c] * s[c]**-beta                                 (channels outside of the input count as zero)

    forward(problem, x)             -> y
    input_gradient(problem, gy, x)  -> gx

All arrays are (N, C, H, W) of `problem.dtype` and of any strides. Krizhevsky, Sutskever and Hinton, "ImageNet
classification with deep convolutional neural networks", NIPS 2012, section 3.3; the window and alpha / size
are those of `torch.nn.LocalResponseNorm` (the paper and Caffe agree with it for an odd size, the paper with
alpha not divided by the size).
"""

from ..registry import Operation
from .problem import LocalResponseNormProblem

forward = Operation("local_response_norm_forward", family="local_response_norm")
input_gradient = Operation("local_response_norm_input_gradient", family="local_response_norm")

from . import cpu, cuda, reference  # noqa: E402  (they register their variants on the operations above)

__all__ = ["LocalResponseNormProblem", "cpu", "cuda", "forward", "input_gradient", "reference"]
