"""Averages of a model's weights over training, which often predict better than the last weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..kernels import optimizer_steps
from ..kernels.arrays import Array, array_module, device_of, dtype_name, on_host
from ..kernels.cpu.recording import again
from ..kernels.errors import MinigradError
from ..kernels.optimizer_steps import AverageProblem
from ..nn import Module
from ..tensor import Tensor, is_floating


def _copied_if_finite(average: Array, values: Array, share: Array) -> None:
    xp = array_module(average)
    xp.copyto(average, values, where=xp.isfinite(share))


class WeightAverage:
    """Base of the averages; a subclass states the weight that the newest value gets, `share`.

    Parameters and buffers of real numbers are averaged, whole numbers (such as counts of batches) copied.

    Attributes:
        count: how many times the average was updated.
        share: the weight of the newest value, None where all values have the same.
    """

    share: float | None = None

    def __init__(self, module: Module) -> None:
        self.module = module
        self.count = 0
        self._swapped = False
        self._averages = {name: tensor.data.copy() for name, tensor in self._tensors().items()}

    def newest_share(self) -> float:
        """The weight of the newest value in the average after `count` updates, this one included."""
        return 1 / self.count if self.share is None else self.share

    def _tensors(self) -> dict[str, Tensor]:
        return dict([*self.module.named_parameters(), *self.module.named_buffers()])

    def update(self) -> None:
        """Take the present weights into the average; to be called after each optimiser step.

        Raises:
            MinigradError: inside of `applied`, where the weights are the average.
        """
        if self._swapped:
            raise MinigradError("the weights are the average now: leave the `applied` block before an update")
        self.count += 1
        self._take(1.0 if self.count == 1 else self.newest_share())
        for average, values in self._counts():
            average[...] = values

    def update_on_device(self, share: Array) -> None:
        """As `update` with a share of the newest weights that is a float64 number on their device.

        Where it is not finite nothing changes; `count` does not change at all.
        """
        self._take(share)
        for average, values in self._counts():
            again(partial(_copied_if_finite, average, values, share))

    def _take(self, share: float | Array) -> None:
        """Take the present real numbers into their averages."""
        pairs = [(self._averages[name], x.data) for name, x in self._tensors().items() if is_floating(x.dtype)]
        for kind in dict.fromkeys((device_of(values), dtype_name(values.dtype)) for _, values in pairs):
            alike = [pair for pair in pairs if (device_of(pair[1]), dtype_name(pair[1].dtype)) == kind]
            averages, newest = zip(*alike, strict=True)
            optimizer_steps.average(AverageProblem(kind[1]), averages, newest, share)

    def _counts(self) -> Iterator[tuple[Array, Array]]:
        """The averages, and the values, of what is not averaged."""
        for name, tensor in self._tensors().items():
            if not is_floating(tensor.dtype):
                yield self._averages[name], tensor.data

    @contextmanager
    def applied(self) -> Iterator[Module]:
        """Inside this `with` block the module has the averaged weights; afterwards its own again.

        Raises:
            MinigradError: before the first update.
        """
        if not self.count:
            raise MinigradError("there is no average yet: call update() after an optimiser step first")
        self._swap()
        try:
            yield self.module
        finally:
            self._swap()

    def _swap(self) -> None:
        self._swapped = not self._swapped
        for name, tensor in self._tensors().items():
            tensor.data, self._averages[name] = self._averages[name], tensor.data

    def state_dict(self) -> dict[str, Any]:
        """{"count": int, "averages": {name: array}}; the arrays share the average's memory."""
        return {"count": self.count, "averages": dict(self._averages)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved average; the arrays are copied.

        Raises:
            MinigradError: if names or shapes are not those of the module; nothing has been changed then.
        """
        arrays: dict[str, Array] = {name: on_host(array) for name, array in state["averages"].items()}
        wrong = sorted(
            name
            for name in arrays.keys() | self._averages.keys()
            if name not in arrays or name not in self._averages or arrays[name].shape != self._averages[name].shape
        )
        if wrong:
            raise MinigradError(f"the saved average is not of this module: {', '.join(wrong)} differ")
        self.count = int(state["count"])
        for name, average in self._averages.items():
            average[...] = array_module(average).asarray(arrays[name])


class PolyakAverage(WeightAverage):
    """The plain mean of the weights after each update (Polyak and Juditsky, SIAM J. Control Optim. 30, 1992)."""


class ExponentialMovingAverage(WeightAverage):
    """average = decay * average + (1 - decay) * weights; the first update takes the weights as they are.

    Args:
        module: the model to average.
        decay: how much of the average is kept at each update.

    Raises:
        MinigradError: if `decay` is not from 0 to 1.
    """

    def __init__(self, module: Module, decay: float = 0.999) -> None:
        if not 0 <= decay <= 1:
            raise MinigradError(f"ExponentialMovingAverage: decay must be from 0 to 1, got {decay!r}")
        super().__init__(module)
        self.decay, self.share = decay, 1 - decay
