"""An optimiser's step that nobody has to wait for: all that changes from step to step lies on the device.

What is decided on the way (are gradients finite? what cuts them down to size? what is the loss scaled by?) a
kernel decides, `kernels.optimizer_steps.control`. So a step can be captured as a part of a CUDA graph.
"""

from __future__ import annotations

import math
from functools import reduce
from operator import add

import numpy as np

from ..kernels import optimizer_steps
from ..kernels.arrays import Array, on_host, write
from ..kernels.cpu.recording import again
from ..kernels.cuda.buffers import uploaded
from ..kernels.errors import MinigradError
from ..kernels.optimizer_steps import ControlProblem, SquaredNormProblem
from ..tensor import Tensor
from .averaging import WeightAverage
from .optimizer import Optimizer

SCALE, GOOD_STEPS, FACTOR, STOPPED, AVERAGED, SHARE = range(6)  # of `state`


class StepControl:
    """The steps of an optimiser whose parameters all lie on one device.

    Args:
        optimizer: whose parameters, options and learning rates these are. It and the average hear of the steps
            that were taken when `read` is called.
        max_norm: cut the norm of all gradients down to this.
        scale: what the loss is multiplied by before its backward pass.
        grows_after: double `scale` after so many steps in a row; 0 for a scale that never changes.
        average: of the weights, to be updated after each step that is taken.

    Attributes:
        state: (6,) float64 on the device: the loss scale, good steps since it changed, the factor of the gradients
            of the last step (NaN: it was left out), 1 from the first step on that was not finite, how many updates
            the average has seen, and the share of the last one.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_norm: float | None = None,
        scale: float = 1.0,
        grows_after: int = 0,
        average: WeightAverage | None = None,
    ) -> None:
        self.optimizer, self.average = optimizer, average
        self.problem = ControlProblem(
            math.inf if max_norm is None else max_norm, grows_after, share=average.share if average else None
        )
        parameters = optimizer.parameters()
        devices = {parameter.device for parameter in parameters}
        if len(devices) != 1:
            raise MinigradError(f"StepControl: the parameters must lie on one device, not {sorted(devices)}")
        xp = parameters[0].xp
        self.rates = xp.zeros(len(optimizer.param_groups), np.float64)
        self.steps = xp.zeros(len(parameters), np.int64)
        self.state = xp.zeros(6, np.float64)
        optimizer.make_state()
        self.write(scale)

    def write(self, scale: float, good_steps: int = 0) -> None:
        """Go on from the counts of the optimiser and the average, and from this loss scale."""
        write(self.steps, np.array(self.optimizer.steps_taken(), np.int64))
        averaged = self.average.count if self.average else 0
        write(self.state, np.array([scale, good_steps, 0.0, 0.0, averaged, 0.0]))
        self.write_rates()

    def write_rates(self) -> None:
        """Take over the learning rates that the groups have now. Nobody waits for it."""
        for number, group in enumerate(self.optimizer.param_groups):
            self.rates[number, ...].fill(group["lr"])

    def read(self) -> tuple[float, int]:
        """Tell the optimiser how many steps were taken; gives the loss scale, and good steps since it changed."""
        self.optimizer.set_steps_taken(on_host(self.steps).tolist())
        scale, good_steps, _, _, averaged, _ = on_host(self.state).tolist()
        if self.average:
            self.average.count = int(averaged)
        return scale, int(good_steps)

    @property
    def scale(self) -> Array:
        """The loss scale, a float64 number on the device."""
        return self.state[SCALE, ...]

    @property
    def factor(self) -> Array:
        """What gradients are multiplied by, a float64 number on the device; NaN: nothing is to change."""
        return self.state[FACTOR, ...]

    def numbers(self, group: int, parameters: list[int]) -> tuple[Array, list[Array], Array]:
        """Learning rate, steps and factor of some parameters of a group, by their numbers: where they lie."""
        return self.rates[group, ...], [self.steps[number, ...] for number in parameters], self.factor

    def step(self, loss: Tensor) -> None:
        """Follow the gradients of `scale` * `loss` (one number), unless they are not finite."""
        parameters = self.optimizer.parameters()
        gradients = [parameter.grad.data for parameter in parameters if parameter.grad is not None]
        kinds = dict.fromkeys(gradient.dtype.name for gradient in gradients)
        norms = [
            optimizer_steps.squared_norm(SquaredNormProblem(kind), [g for g in gradients if g.dtype.name == kind])
            for kind in kinds
        ]
        moving = np.array([parameter.grad is not None for parameter in parameters], np.int64)
        optimizer_steps.control(
            self.problem,
            again(lambda: reduce(add, norms)),
            again(lambda: loss.data.astype(np.float64)),
            self.state,
            self.steps,
            uploaded(moving, self.steps),
        )
        self.optimizer.step(self)
        if self.average:
            self.average.update_on_device(self.state[SHARE, ...])
