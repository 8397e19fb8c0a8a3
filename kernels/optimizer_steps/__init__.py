"""One optimiser step over all parameters at once, in place, and what has to be decided before it.

    sgd(problem, parameters, gradients, momenta, learning_rate, steps, factor=None)
    adam(problem, parameters, gradients, first_moments, second_moments, learning_rate, steps, factor=None)
    rmsprop(problem, parameters, gradients, square_averages, momenta, gradient_averages, learning_rate,
            factor=None)
    squared_norm(problem, gradients) -> norm     sum of the squares of all elements, accumulated in float64
    average(problem, averages, values, share)    averages += share * (values - averages), in place
    control(problem, norm, loss, state, steps, moving)     whether a step is taken, and how far; see below

Every argument but the last ones is a list of arrays of `problem.dtype`, one array a parameter and all
of one parameter's arrays of one shape, of any strides; at least one parameter. Parameters and the
optimiser's state are changed in place, gradients are not. State that a problem does not use (momenta
without momentum, gradient averages where not centred) is an empty list; state starts as zeros.

learning_rate is a float and may change from step to step; `steps[i]` counts parameter i's steps from 1,
this one included (an integer each, since a parameter that had no gradient for a while has made
fewer). `factor` is one float64 number that gradients are multiplied by first; where it is not finite, the step
changes nothing. What never changes is in the problem, because the choice of a variant is remembered by problem.

So that a step can be captured as a part of a CUDA graph, and nobody has to wait for a GPU, the numbers that change
may lie in the memory of the arrays' device, each an array without axes: learning_rate (float64), the elements of
`steps` (int64), factor. So may the `share` of `average`, which is a float else: where it is not finite nothing
changes, where it is 1 the averages become the values themselves.

`control` makes these numbers without anybody reading them. `norm` is the squared norm of the gradients of
state[0] * loss, `loss` the loss itself, both float64 numbers on the device. state (6,) float64 and
steps (n,) int64 change in place:
- state[0], the loss scale, and state[1], how many steps have been taken since it changed: halved where gradients
  overflow, doubled after `grows_after` steps in a row (Micikevicius et al., arXiv 1710.03740, section 3.2);
- state[2], the `factor` for the step: 1 / scale, times what cuts the norm down to `max_norm` (Pascanu et al.,
  arXiv 1211.5063, algorithm 1); NaN where the step is left out;
- state[3], 1 from the first step on whose loss or gradients are not finite through no fault of the scale. No
  step is taken any more then, so that the weights stay those that it happened with;
- state[4], how many values an average of the weights has seen, this step's included, and state[5], the share of
  the newest: 1 for the first, then `share`, or 1 / state[4] where that is None; NaN where the step is left out;
- steps[i] grows by moving[i] (int64, 0 or 1) where the step is taken.

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
from .problem import AdamProblem, AverageProblem, ControlProblem, RmspropProblem, SgdProblem, SquaredNormProblem

sgd = Operation("sgd_step", family="optimizer_steps")
adam = Operation("adam_step", family="optimizer_steps")
rmsprop = Operation("rmsprop_step", family="optimizer_steps")
squared_norm = Operation("squared_norm", family="optimizer_steps")
average = Operation("weight_average", family="optimizer_steps")
control = Operation("step_control", family="optimizer_steps")

from . import cpu, cuda, reference  # noqa: E402  (they register their variants on the operations above)

__all__ = [
    "AdamProblem",
    "AverageProblem",
    "ControlProblem",
    "RmspropProblem",
    "SgdProblem",
    "SquaredNormProblem",
    "adam",
    "average",
    "control",
    "cpu",
    "cuda",
    "reference",
    "rmsprop",
    "sgd",
    "squared_norm",
]
