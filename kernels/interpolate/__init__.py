"""Bilinear interpolation of images, and its gradient.

    y[n,c,p,q] = the mean of the four pixels of x around the place (place(p), place(q)), weighted by nearness

    forward(problem, x)          -> y
    input_gradient(problem, gy)  -> gx

For m pixels made of n, place(p) = max(0, (p + 1/2) * ratio - 1/2), so that the corners of the images meet, or with
`align_corners` p * (n - 1) / (m - 1), so that the centres of the corner pixels do. Beyond the last pixel its
value goes on. This is `torch.nn.functional.interpolate`. Both operations are linear, and each is the other's
derivative.

x and gx are (N,C,H,W), y and gy (N,C,P,Q), all of `problem.dtype` and of any strides.
"""

from ..registry import Operation
from .problem import InterpolateProblem

forward = Operation("interpolate_forward", family="interpolate")
input_gradient = Operation("interpolate_input_gradient", family="interpolate")

from . import cpu, cuda, reference  # noqa: E402  (they register their variants on the operations above)

__all__ = ["InterpolateProblem", "cpu", "cuda", "forward", "input_gradient", "reference"]
