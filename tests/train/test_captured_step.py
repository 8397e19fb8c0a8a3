"""Steps as one graph give the bits of the same steps launched one by one; on the CPU and in the emulator."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from claims import fake_cupy
from claims.tiny import TinyNet
from claims.variants import without_compiler, without_gpu
from minigrad import models, nn, optim
from minigrad.device import library
from minigrad.kernels.arrays import on_host
from minigrad.kernels.cuda import launch
from minigrad.kernels.errors import MinigradError, ShapeError
from minigrad.nn import functional as F
from minigrad.random import default_generator
from minigrad.train import captured_step
from minigrad.train.captured_step import CapturedStep
from minigrad.train.evaluation import main_logits, to_numpy
from minigrad.train.loss_scaling import LossScale
from minigrad.train.precision import computing_in

SIDE = 12
ON_GPU = [
    pytest.param("emulated", marks=without_compiler),
    # The same launches through CuPy's calls, which test_captured_loop.py makes in every run of the tests.
    pytest.param("stand-in", marks=[without_compiler, pytest.mark.lengthy]),
    pytest.param("gpu", marks=[pytest.mark.gpu, without_gpu]),
]


@pytest.fixture(params=["cpu", *ON_GPU])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from chosen(request)


@pytest.fixture(params=ON_GPU)
def gpu(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from chosen(request)


def chosen(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "stand-in":
        with fake_cupy.installed():
            yield "cuda"
    else:
        device = "cuda" if request.param == "gpu" else request.param
        library(device)
        yield device


def batches(*sizes: int, side: int = SIDE) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(1)
    drawn = []
    for size in sizes:
        images = generator.standard_normal((size, side, side, 3), dtype=np.float32).transpose(0, 3, 1, 2)
        drawn.append((images, generator.integers(0, 3, size)))
    return drawn


class OneByOne:
    """The same steps, each launch by itself, and each number read where it is needed."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        precision: str = "float32",
        clip_norm: float | None = None,
        loss_scale: LossScale | None = None,
    ) -> None:
        self.model, self.optimizer, self.precision = model, optimizer, precision
        self.clip_norm, self.loss_scale = clip_norm, loss_scale

    def __call__(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
        device = next(iter(self.model.parameters())).device
        x, targets = mg.asarray(images, device=device), mg.asarray(labels, device=device)
        with computing_in(self.precision):
            outputs = self.model(x)
            loss = models.loss(outputs, targets)
            (self.loss_scale.scaled(loss) if self.loss_scale else loss).backward()
        if self.loss_scale is None or self.loss_scale.fits(self.model.parameters()):
            if self.clip_norm is not None:
                optim.clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimizer.step()
        self.optimizer.zero_grad()
        return to_numpy(main_logits(outputs)), float(loss.item())


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-4),
    "plain sgd": lambda p: optim.SGD(p, lr=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
}


def trained(
    device: str, captured: bool, model: nn.Module, optimizer: str, data: Any, **options: Any
) -> dict[str, Any]:
    """All that a run of steps leaves behind, under a learning rate that changes at each step."""
    mg.manual_seed(3)
    model = model.to(device).train()
    made = OPTIMIZERS[optimizer](model.parameters())
    scheduler = optim.Scheduler(made, optim.CosineAnnealing(len(data) + 1))
    if captured:
        step: Any = CapturedStep(model, models.loss, made, **options)
    else:
        step = OneByOne(model, made, **options)
    results = []
    for images, labels in data:
        results.append(step(images, labels))
        scheduler.step()
    if captured:
        step.settle()
        results = [(outcome.logits, outcome.loss) for outcome in results]
    scale = options.get("loss_scale")
    return {
        "results": results,
        "model": {name: value.numpy() for name, value in model.state_dict().items()},
        "steps": made.steps_taken(),
        "kept": [
            on_host(array)
            for state in made._state.values()
            for name, array in sorted(state.items())
            if name != "step"
        ],
        "random": default_generator.offset,
        "scale": scale and scale.state_dict(),
    }


def assert_same_bits(
    device: str, optimizer: str, data: Any, make: Any = lambda: TinyNet(3), **options: Any
) -> Any:
    mg.manual_seed(0)
    state = {name: value.numpy() for name, value in make().state_dict().items()}
    found = []
    for captured in (False, True):
        model = make()
        model.load_state_dict(state)
        own = {name: value() if callable(value) else value for name, value in options.items()}
        with np.errstate(all="ignore"):  # numbers that float16 cannot hold
            found.append(trained(device, captured, model, optimizer, data, **own))
    one_by_one, as_graph = found
    np.testing.assert_equal(as_graph, one_by_one)
    assert not np.array_equal(as_graph["model"]["fc.weight"], state["fc.weight"])
    return as_graph


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_leave_the_same_bits(device: str, optimizer: str) -> None:
    """Losses, weights, running statistics, dropout masks, the optimiser's state and counts, at changing rates."""
    found = assert_same_bits(device, optimizer, batches(4, 4, 4, 4))
    assert found["steps"] == [4] * len(found["steps"]) and found["random"] > 0


def test_batches_of_another_size_have_a_graph_of_their_own(device: str) -> None:
    assert_same_bits(device, "adamw", batches(4, 4, 2, 4, 2, 2, 4))


def test_clipping_needs_no_number_on_the_host(device: str) -> None:
    loose = assert_same_bits(device, "sgd", batches(4, 4, 4), clip_norm=1e6)
    tight = assert_same_bits(device, "sgd", batches(4, 4, 4), clip_norm=0.1)
    assert not np.array_equal(loose["model"]["fc.weight"], tight["model"]["fc.weight"])


def test_statistics_that_are_plain_averages_count_their_batches_on_the_device(device: str) -> None:
    def make() -> nn.Module:
        norm = nn.BatchNorm2d(4, momentum=None)
        return nn.Sequential(
            OrderedDict(conv=nn.Conv2d(3, 4, 3), bn=norm, flat=nn.Flatten(), fc=nn.Linear(400, 3))
        )

    found = assert_same_bits(device, "sgd", batches(4, 4, 4, 4), make)
    assert found["model"]["bn.num_batches_tracked"] == 4


@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
def test_other_precisions(gpu: str, precision: str) -> None:
    assert_same_bits(gpu, "sgd", batches(4, 4, 4), precision=precision)


def test_the_scale_of_the_loss_follows_overflows_on_the_device(gpu: str) -> None:
    """It starts so high that float16 overflows."""
    found = assert_same_bits(
        gpu, "adamw", batches(*[4] * 6), precision="float16", loss_scale=lambda: LossScale(2.0**18)
    )
    left_out = 6 - found["steps"][0]
    assert 0 < left_out < 6 and found["scale"]["factor"] == 2.0 ** (18 - left_out)


def test_googlenet_on_the_cpu() -> None:
    """With both auxiliary heads, three dropouts and all of its batch norms, large enough for every kernel."""
    assert_same_bits("cpu", "sgd", batches(*[8] * 4, side=64), lambda: models.GoogLeNet(3, init_weights=False))


def test_steps_on_the_cpu_use_the_kernels_that_are_asked_for() -> None:
    with mg.use_kernels("reference"):
        assert_same_bits("cpu", "sgd", batches(2, 2, 2, 2))


@pytest.mark.lengthy
@without_compiler
def test_googlenet_on_small_images() -> None:
    """As on the CPU."""
    assert_same_bits(
        "emulated", "sgd", batches(2, 2, 2, side=32), lambda: models.GoogLeNet(3, init_weights=False),
        precision="bfloat16",
    )  # fmt: skip


@pytest.mark.lengthy
def test_a_step_of_googlenet_in_sixteen_bits_is_some_five_hundred_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Per batch norm four, per convolution about five; a cast or a counter a parameter would double them."""
    launched: list[str] = []
    monkeypatch.setattr(launch, "launch_listeners", [lambda kernel, *_: launched.append(kernel.name)])
    model = models.GoogLeNet(init_weights=False).to("emulated").train()
    step = CapturedStep(model, models.loss, optim.SGD(model.parameters(), lr=0.1), precision="bfloat16")
    ((images, labels),) = batches(8, side=32)
    step(images, labels)
    launched.clear()
    step(images, labels)
    found = Counter(launched)
    assert found["cast"] == 2 and found["pack"] == 1 and found["move_statistics"] == 0
    assert found.total() <= 517


# What goes wrong


class Exploding(nn.Module):
    """A linear layer whose results grow with the images."""

    def __init__(self) -> None:
        self.fc = nn.Linear(3 * SIDE * SIDE, 3)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.fc(x.reshape(x.shape[0], -1))


def cross_entropy(outputs: mg.Tensor, labels: mg.Tensor) -> mg.Tensor:
    return F.cross_entropy(outputs, labels)


def test_a_step_that_is_not_finite_stops_the_steps(device: str) -> None:
    model = Exploding().to(device)
    step = CapturedStep(model, cross_entropy, optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    (images, labels), *_ = batches(4)
    assert step(images, labels).is_finite and step(images, labels).is_finite
    before = model.fc.weight.numpy().copy()
    with np.errstate(all="ignore"):
        bad = step(np.full_like(images, np.nan), labels)
    after = step(images, labels)
    assert not bad.is_finite and not after.is_finite and np.isnan(bad.loss)
    np.testing.assert_array_equal(model.fc.weight.numpy(), before)
    step.settle()
    assert step.optimizer.steps_taken() == [2, 2]


def test_a_label_that_is_no_class_is_told(device: str) -> None:
    model = Exploding().to(device)
    step = CapturedStep(model, cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    (images, labels), *_ = batches(4)
    words = "label 3 at position 2 is not one of the 3 classes"
    wrong = np.array([0, 1, 3, 0])
    with pytest.raises(ShapeError, match=words):
        step(images, wrong)  # launch by launch
    step(images, labels)
    step(images, labels)
    with pytest.raises(ShapeError, match=words):
        step(images, wrong)
    assert step(images, labels).is_finite


def test_a_new_seed_is_a_new_stream(device: str) -> None:
    def logits(seed: int) -> np.ndarray:
        mg.manual_seed(seed)
        return step(images, labels).logits

    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * SIDE * SIDE, 3)).to(device)
    step = CapturedStep(model, cross_entropy, optim.SGD(model.parameters(), lr=0.0))
    (images, labels), *_ = batches(4)
    first = [logits(1) for _ in range(3)]
    np.testing.assert_array_equal(first[0], first[2])
    assert not np.array_equal(logits(2), first[0])
    np.testing.assert_array_equal(logits(1), first[0])


def test_what_changes_between_steps_counts(device: str) -> None:
    """Each change after a step that was launched as a graph; the first asks the optimiser for new arrays."""

    def run(captured: bool) -> tuple[list[float], dict[str, np.ndarray]]:
        mg.manual_seed(4)
        model = TinyNet(3).to(device).train()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        step: Any = CapturedStep(model, models.loss, optimizer) if captured else OneByOne(model, optimizer)
        (group,), (frozen, *_) = optimizer.param_groups, model.parameters()
        losses = []
        for change in (
            lambda: None,
            lambda: group.update(momentum=0.9),
            lambda: group.update(weight_decay=0.1),
            lambda: setattr(frozen, "requires_grad", False),
            lambda: model.eval(),
            lambda: (model.train(), setattr(frozen, "requires_grad", True)),
            lambda: group.update(momentum=0.0),
        ):
            change()
            made = [step(*batch) for batch in batches(4, 4, 4)]
            losses += [outcome.loss if captured else outcome[1] for outcome in made]
        return losses, {name: value.numpy() for name, value in model.state_dict().items()}

    np.testing.assert_equal(run(captured=True), run(captured=False))


def test_the_number_of_threads_counts() -> None:
    def run(captured: bool) -> np.ndarray:
        mg.manual_seed(4)
        model = TinyNet(3).train()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        step: Any = CapturedStep(model, models.loss, optimizer) if captured else OneByOne(model, optimizer)
        for threads in (before, 1, before):
            mg.set_num_threads(threads)
            for batch in batches(8, 8, 8):
                step(*batch)
        return next(model.parameters()).numpy()

    before = mg.get_num_threads()
    try:
        np.testing.assert_array_equal(run(captured=True), run(captured=False))
    finally:
        mg.set_num_threads(before)


def test_graphs_are_kept_for_the_shapes_that_were_used_last(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured_step, "MOST_BATCHES", 2)
    sizes = (4, 4, 4, 2, 2, 2, 4, 3, 3, 3, 4, 2, 2, 2, 3, 4, 4, 4)
    assert_same_bits(device, "adamw", batches(*sizes))
    model = Exploding().to(device)
    step = CapturedStep(model, cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    for batch in batches(*sizes):
        step(*batch)
        assert len(step._batches) <= 2
    assert [key[0][0] for key in step._batches] == [3, 4]


def test_what_needs_a_number_on_the_host_cannot_be_captured(device: str) -> None:
    class Curious(Exploding):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return super().forward(x) if x.sum().item() else x

    model = Curious().to(device)
    step = CapturedStep(model, cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    (images, labels), *_ = batches(4)
    step(images, labels)  # launch by launch
    with pytest.raises(Exception, match="captur"):
        step(images, labels)


def test_memory_that_was_replaced_is_noticed(device: str) -> None:
    model = Exploding().to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = CapturedStep(model, cross_entropy, optimizer)
    (images, labels), *_ = batches(4)
    step(images, labels)
    model.load_state_dict(model.state_dict())  # in place
    assert step(images, labels).is_finite
    optimizer.load_state_dict(optimizer.state_dict())
    with pytest.raises(MinigradError, match=r"were replaced by others .*make a new one"):
        step(images, labels)


def test_a_tape_that_read_the_weights_before_a_step_has_no_right_gradient(device: str) -> None:
    model = Exploding().to(device)
    step = CapturedStep(model, cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    (images, labels), *_ = batches(4)
    for _ in range(3):
        y = (model.fc.weight * model.fc.weight).sum()
        step(images, labels)
        with pytest.raises(mg.GraphError, match="was changed in place by"):
            y.backward()
