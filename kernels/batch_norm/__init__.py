"""Batch normalisation of (N, C, H, W) activations, one mean and variance a channel, with or without ReLU.

    y = weight * (x - mean) * inverse_std + bias,    inverse_std = 1 / sqrt(variance + epsilon)

    forward_training(problem, x, weight, bias)                    -> y, mean, variance, inverse_std
    forward_evaluation(problem, x, weight, bias, mean, variance)  -> y
    backward_training(problem, gy, x, weight, bias, mean, inverse_std)  -> gx, gweight, gbias
    move_statistics(problem, running_mean, running_variance, mean, variance, momentum)  -> None

`forward_training` takes mean and (biased) variance over N, H and W; `forward_evaluation` is given them.
With `problem.relu`, y becomes max(0, y) in the same pass (NaN stays NaN), and `backward_training`
finds where y was cut by computing it again from x: nothing but x itself is kept. x, y, gx and gy
are (N,C,H,W) of any strides and of `problem.dtype`, everything else is (C,) and of
`problem.statistics_dtype`: float32 where activations have 16 bits. On CPUs,
statistics are accumulated in float64; everywhere in an order that depends only on the shape, so the
same input gives the same bits with any number of threads.

`move_statistics` moves the running statistics, in place, towards those of a batch: running = (1 - momentum) *
running + momentum * batch, where the variance is the unbiased one, count / (count - 1) times the batch's. The
momentum may be a () float64 array on their device, so that nobody has to wait for it.

The fast variants of the first three write y, or gx, to `out=`, a channels-last array or a slice of channels of
one, where it is given; and `forward_training` takes `moments=(mean, variance)` from whoever knows them already,
as a convolution does (`kernels.conv2d.forward_statistics`). A variant of it that takes
`running=Running(...)` moves these on its way; after one that does not, `move` does it.

Ioffe and Szegedy, "Batch normalization", arXiv 1502.03167, algorithm 1 and the gradients below it.
"""

from ..arrays import Array
from ..cpu.recording import again
from ..registry import Operation
from .problem import BatchNormProblem, Running

forward_training = Operation("batch_norm_forward_training", family="batch_norm")
forward_evaluation = Operation("batch_norm_forward_evaluation", family="batch_norm")
backward_training = Operation("batch_norm_backward_training", family="batch_norm")
move_statistics = Operation("batch_norm_move_statistics", family="batch_norm")


def move(problem: BatchNormProblem, running: Running, mean: Array, variance: Array) -> None:
    """Move `running` towards the statistics of a batch, and count the batch."""
    move_statistics(problem, running.mean, running.variance, mean, variance, running.momentum)
    batches = running.batches
    if batches is not None:
        again(lambda: batches.__iadd__(1))


from . import cpu, cuda, reference  # noqa: E402  (they register their variants on the operations above)

__all__ = [
    "BatchNormProblem",
    "Running",
    "backward_training",
    "cpu",
    "cuda",
    "forward_evaluation",
    "forward_training",
    "move",
    "move_statistics",
    "reference",
]
