"""2-D max, average and adaptive average pooling and their gradients.

Output p of an axis looks at the window of elements p*stride - padding + r*dilation, r < kernel_size.

    max_forward(problem, x)                         -> y, indices
    max_values(problem, x)                          -> y
    max_input_gradient(problem, gy, indices)        -> gx
    max_gather(problem, x, indices)                 -> y
    average_forward(problem, x)                     -> y
    average_input_gradient(problem, gy)             -> gx
    adaptive_average_forward(problem, x)            -> y
    adaptive_average_input_gradient(problem, gy)    -> gx

Max pooling gives the largest element of each window and its place r*kernel_width + s inside the window;
`max_values` gives the elements alone, the same bits, for where no gradient is wanted. The gradient hands
each gy to the element that was chosen; `max_gather` picks the chosen elements out of any array shaped like
the input (the derivative of `max_input_gradient`). Average pooling divides the sum of each window. Adaptive
pooling (an `AdaptiveAveragePool2dProblem`) takes the means of rows floor(p*H/P) to ceil((p+1)*H/P) and of the
same columns.

x and gx are (N,C,H,W), y and gy (N,C,P,Q), all of `problem.dtype` and of any strides; indices have
`problem.index_dtype`, one byte for windows of up to 256 elements. Output size, the padding of max
pooling (minus infinity), ties (the first in row-major order), NaN (it wins, the last one) and the
divisors of average pooling (`count_include_pad`, `divisor_override`) are PyTorch's: `torch.nn.MaxPool2d`,
`AvgPool2d`, `AdaptiveAvgPool2d`. Average pooling has no dilation and refuses one.
"""

from ..registry import Operation
from .problem import AdaptiveAveragePool2dProblem, Pool2dProblem

max_forward = Operation("max_pool2d_forward", family="pool2d")
max_values = Operation("max_pool2d_values", family="pool2d")
max_input_gradient = Operation("max_pool2d_input_gradient", family="pool2d")
max_gather = Operation("max_pool2d_gather", family="pool2d")
average_forward = Operation("average_pool2d_forward", family="pool2d")
average_input_gradient = Operation("average_pool2d_input_gradient", family="pool2d")
adaptive_average_forward = Operation("adaptive_average_pool2d_forward", family="pool2d")
adaptive_average_input_gradient = Operation("adaptive_average_pool2d_input_gradient", family="pool2d")

from . import cpu_average, cpu_max, cuda, reference  # noqa: E402  (they register their variants on the operations above)

__all__ = [
    "AdaptiveAveragePool2dProblem",
    "Pool2dProblem",
    "adaptive_average_forward",
    "adaptive_average_input_gradient",
    "average_forward",
    "average_input_gradient",
    "cpu_average",
    "cpu_max",
    "cuda",
    "max_forward",
    "max_gather",
    "max_input_gradient",
    "max_values",
    "reference",
]
