"""One optimiser step over all parameters at once, in place, and the norm that gradient clipping needs.

    sgd(problem, parameters, gradients, momenta, learning_rate, steps, norm=None)
    adam(problem, parameters, gradients, first_moments, second_moments, learning_rate, steps, norm=None)
    rmsprop(problem, parameters, gradients, square_averages, momenta, gradient_averages, learning_rate, norm=None)
    squared_norm(problem, gradients) -> norm     sum of the squares of all elements, accumulated in float64

Every argument but the last ones is a list of arrays of `problem.dtype`, one array a parameter and all
of one parameter's arrays of one shape, of any strides; at least one parameter. Parameters and the
optimiser's state are changed in place, gradients are not. State that a problem does not use (momenta
without momentum, gradient averages where not centred) is an empty list; state starts as zeros.

learning_rate is a float and may change from step to step; `steps[i]` counts parameter i's steps from 1,
this one included (an integer each, since a parameter that had no gradient for a while has made
fewer). `norm` is one float64 number on the device of the gradients, a scalar or an array without axes, as
`squared_norm` gives it: where it is not finite, the step changes nothing, and on a GPU nobody has to wait for
it. What never changes is in the problem, because the choice of a variant is remembered by problem.

The formulas are those of `torch.optim`, with g the gradient (its negative with `maximize`) and p the
parameter:
- weight decay: g += weight_decay * p, or, decoupled (AdamW: Loshchilov and Hutter, arXiv 1711.05101),
  p *= 1 - learning_rate * weight_decay;
- SGD: buffer = momentum * buffer + (1 - dampening) * g, but buffer = g at the first step; g = buffer, or
  with nesterov g += momentum * buffer; p -= learning_rate * g (Sutskever et al., ICML 2013, as PyTorch
  writes it);
- Adam (Kingma and Ba, arXiv 1412.6980): m = b1 m + (1-b1) g; v = b2 v + (1-b2) g**2;
  p -= learning_rate * (m / (1-b1**step)) / (sqrt(v / (1-b2**step)) + epsilon);
- RMSprop (Hinton's lecture 6e; centred: Graves, arXiv 1308.0850): v = alpha v + (1-alpha) g**2;
  centred: a = alpha a + (1-alpha) g, and v - a**2 in place of v; g /= sqrt(v) + epsilon; with momentum
  buffer = momentum * buffer + g and p -= learning_rate * buffer, without p -= learning_rate * g.
"""

from ..registry import Operation
from .problem import AdamProblem, RmspropProblem, SgdProblem, SquaredNormProblem

sgd = Operation("sgd_step", family="optimizer_steps")
adam = Operation("adam_step", family="optimizer_steps")
rmsprop = Operation("rmsprop_step", family="optimizer_steps")
squared_norm = Operation("squared_norm", family="optimizer_steps")

from . import cpu, cuda, reference  # noqa: E402  (they register their variants on the operations above)

__all__ = [
    "AdamProblem",
    "RmspropProblem",
    "SgdProblem",
    "SquaredNormProblem",
    "adam",
    "cpu",
    "cuda",
    "reference",
    "rmsprop",
    "sgd",
    "squared_norm",
]
