"""Train GoogLeNet a few steps in minigrad and in PyTorch from the same weights, and print how far they part.

    python -m benchmarks.parity [--model googlenet] [--dtype float64] [--size 64] [--batch 4] [--steps 10]

The truth is PyTorch in float64. An error is the norm of the difference over the norm of the truth. For float32 the
table shows minigrad's error beside PyTorch's own: rounding alone makes both, and neither can be right where a
ReLU or a maximum is decided by the last digit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch

import minigrad as mg
from benchmarks.decisions import follow_decisions
from benchmarks.torch_googlenet import TorchGoogLeNet, torch_loss
from minigrad import models
from minigrad.kernels.registry import set_default_kernels
from minigrad.nn import BatchNorm2d, MaxPool2d, Module
from minigrad.optim import SGD

CLASSES = 10
State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Experiment:
    """What both frameworks are given. Dropout is off: the two draw different masks.

    Training is chaotic: with batch norm over the 8 numbers a channel that the last layers have of 2 images, ten
    steps make 1e-1 of a difference of 1e-14, at any learning rate. With 4 images and this learning rate it stays
    below 1e-12.
    """

    model: str = "googlenet"
    size: int = 64
    batch: int = 4
    steps: int = 10
    learning_rate: float = 2e-5
    momentum: float = 0.9
    transform_input: bool = False
    seed: int = 0

    @property
    def options(self) -> dict[str, object]:
        return {
            "num_classes": CLASSES,
            "transform_input": self.transform_input,
            "dropout": 0.0,
            "dropout_aux": 0.0,
        }

    def torch_model(self) -> TorchGoogLeNet:
        paper = self.model == "googlenet-paper"
        return TorchGoogLeNet(**self.options, paper=paper, fixed_aux_pool=paper and self.size >= 223)  # type: ignore[arg-type]

    def state(self) -> State:
        """Weights, biases and statistics in general position: nothing is 0 or 1 that an error could hide behind.

        All are float32 numbers, so that every dtype starts from the same ones.
        """
        generator = np.random.default_rng(self.seed)
        state = {}
        for name, value in self.torch_model().state_dict().items():
            shape = tuple(value.shape)
            if name.endswith("num_batches_tracked"):
                state[name] = np.zeros(shape, np.int64)
                continue
            if len(shape) > 1:  # He et al. 2015: the scale that keeps activations alive through ReLUs
                array = generator.standard_normal(shape) * np.sqrt(2.0 / np.prod(shape[1:]))
            elif name.endswith(("bn.weight", "running_var")):
                array = generator.uniform(0.5, 1.5, shape)
            else:
                array = generator.normal(0.0, 0.1, shape)
            state[name] = array.astype(np.float32)
        return state

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Images (float32) and labels, one pair a step."""
        generator = np.random.default_rng(self.seed + 1)
        for _ in range(self.steps):
            images = generator.standard_normal((self.batch, 3, self.size, self.size), dtype=np.float32)
            yield images, generator.integers(0, CLASSES, self.batch)


@dataclass
class Run:
    """All that one framework computed: by layer, by parameter and by buffer, as float64.

    `activations`, `pooled` (the inputs of max pools), `gradients` and `statistics` are of the first step,
    `evaluation` comes after it.
    """

    activations: State = field(default_factory=dict)
    gradients: State = field(default_factory=dict)
    statistics: State = field(default_factory=dict)
    evaluation: np.ndarray = field(default_factory=lambda: np.zeros(0))
    losses: list[float] = field(default_factory=list)
    pooled: State = field(default_factory=dict)


def run_minigrad(experiment: Experiment, dtype: str, device: str = "cpu") -> Run:
    """Train minigrad's model in `dtype`; "bfloat16" is mixed precision on float32 weights."""
    run = Run()
    dtype, products = ("float32", dtype) if dtype == "bfloat16" else (dtype, None)

    def build() -> Module:
        model = models.build(experiment.model, init_weights=False, **experiment.options).to(device, dtype)
        model.load_state_dict(experiment.state())
        return model

    images, _ = next(experiment.batches())
    with mg.autocast(products):  # in a model of its own: layers that hooks look at are carried out one by one
        _record_layers(build(), mg.tensor(images, dtype=dtype, requires_grad=True, device=device), run)
    model = build()
    optimizer = SGD(model.parameters(), experiment.learning_rate, experiment.momentum)
    for step, (images, labels) in enumerate(experiment.batches()):
        x = mg.tensor(images, dtype=dtype, requires_grad=True, device=device)
        with mg.autocast(products):
            loss = models.loss(model(x), mg.tensor(labels, device=device))
        optimizer.zero_grad()
        loss.backward()
        run.losses.append(float(loss))
        if step == 0:
            leaves = {"images": x, **dict(model.named_parameters())}
            run.gradients = {name: np.array(leaf.grad, np.float64) for name, leaf in leaves.items()}
            run.statistics = {name: np.array(value, np.float64) for name, value in model.named_buffers()}
        optimizer.step()
        if step == 0:
            model.eval()
            with mg.no_grad(), mg.autocast(products):
                run.evaluation = np.array(model(mg.tensor(images, dtype=dtype, device=device)), np.float64)
            model.train()
    return run


def _record_layers(model: Module, x: mg.Tensor, run: Run) -> None:
    """Note what each layer of `model` gives for `x`, and what its max pools take."""
    for name, module in model.named_modules():
        # A batch norm's output has been through the ReLU here, so the unit that both are in is compared instead.
        if name and not isinstance(module, BatchNorm2d):

            def record(module: Module, inputs: Any, output: mg.Tensor, name: str = name) -> None:
                run.activations[name] = np.array(output.numpy(), np.float64)
                if isinstance(module, MaxPool2d):
                    run.pooled[name] = np.array(inputs[0].numpy(), np.float64)

            module.register_forward_hook(record)
    model(x)


def run_torch(experiment: Experiment, dtype: str, device: str = "cpu", following: Run | None = None) -> Run:
    """Train PyTorch's model in `dtype`; "bfloat16" is mixed precision on float32 weights.

    Where another run is given, the first step decides as that did: see `decisions.py`.
    """
    run = Run()
    kind = torch.float32 if dtype == "bfloat16" else getattr(torch, dtype)
    mixed = torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16")
    model = experiment.torch_model().to(device, kind)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in experiment.state().items()})
    optimizer = torch.optim.SGD(model.parameters(), experiment.learning_rate, experiment.momentum)
    hooks = []
    for name, module in model.named_modules():
        if name and not isinstance(module, torch.nn.BatchNorm2d | torch.nn.Identity):

            def record(module: object, inputs: Any, output: torch.Tensor, name: str = name) -> None:
                run.activations[name] = output.detach().double().cpu().numpy().copy()
                if isinstance(module, torch.nn.MaxPool2d):
                    run.pooled[name] = inputs[0].detach().double().cpu().numpy().copy()

            hooks.append(module.register_forward_hook(record))
    if following is not None:
        hooks += follow_decisions(model, following.activations, following.pooled)
    for step, (images, labels) in enumerate(experiment.batches()):
        x = torch.from_numpy(images).to(device, kind).requires_grad_()
        with mixed:
            loss = torch_loss(model(x), torch.from_numpy(labels).to(device))
        optimizer.zero_grad()
        loss.backward()
        run.losses.append(loss.item())
        if step == 0:
            for hook in hooks:
                hook.remove()
            leaves = {"images": x, **dict(model.named_parameters())}
            run.gradients = {name: leaf.grad.double().cpu().numpy() for name, leaf in leaves.items()}  # type: ignore[union-attr]
            run.statistics = {name: value.double().cpu().numpy().copy() for name, value in model.named_buffers()}
        optimizer.step()
        if step == 0:
            model.eval()
            with torch.no_grad(), mixed:
                run.evaluation = model(torch.from_numpy(images).to(device, kind)).double().cpu().numpy()
            model.train()
    return run


def relative_error(found: np.ndarray, truth: np.ndarray) -> float:
    """The norm of the difference over the norm of the truth; infinite where there is a NaN or a 0 is missed."""
    with np.errstate(invalid="ignore"):
        distance, scale = np.linalg.norm(found - truth), np.linalg.norm(truth)
    if distance == 0:
        return 0.0
    error = distance / scale if scale > 0 else np.inf
    return float(error) if np.isfinite(error) else np.inf


class LayerErrors(NamedTuple):
    """Errors of a layer's output, of its parameters' gradients and of its running statistics."""

    activation: float
    gradients: list[float]
    statistics: list[float]


@dataclass(frozen=True)
class Errors:
    """How far a run is from the truth, by the names that `Run` has."""

    activations: Mapping[str, float]
    gradients: Mapping[str, float]
    statistics: Mapping[str, float]
    evaluation: float
    losses: Sequence[float]

    @staticmethod
    def of(run: Run, truth: Run) -> Errors:
        """Raises ValueError where one of the two has a layer, parameter or buffer that the other has not."""

        def compare(found: State, true: State) -> dict[str, float]:
            if found.keys() != true.keys():
                raise ValueError(f"only one of the two has: {sorted(found.keys() ^ true.keys())}")
            return {name: relative_error(found[name], true[name]) for name in true}

        return Errors(
            compare(run.activations, truth.activations),
            compare(run.gradients, truth.gradients),
            compare(run.statistics, truth.statistics),
            relative_error(run.evaluation, truth.evaluation),
            [relative_error(np.array(a), np.array(b)) for a, b in zip(run.losses, truth.losses, strict=True)],
        )

    def by_layer(self) -> dict[str, LayerErrors]:
        """The errors of each layer, in the order in which layers run."""
        layers = {name: LayerErrors(error, [], []) for name, error in self.activations.items()}
        for kind, errors in (("gradients", self.gradients), ("statistics", self.statistics)):
            for name, error in errors.items():
                # What a batch norm owns counts for the unit of convolution, batch norm and ReLU that it is in.
                owner = name.rpartition(".")[0].removesuffix(".bn")
                if owner in layers:
                    getattr(layers[owner], kind).append(error)
        return layers

    def worst(self) -> dict[str, float]:
        """The largest error of each kind."""
        return {
            "activations": max(self.activations.values()),
            "gradients": max(self.gradients.values()),
            "statistics": max(self.statistics.values(), default=0.0),
            "evaluation": self.evaluation,
            "losses": max(self.losses),
        }


def gradient_errors_alike(experiment: Experiment, run: Run) -> dict[str, float]:
    """The relative errors of a run's gradients, where the truth decides as the run did: see `decisions.py`."""
    truth = run_torch(replace(experiment, steps=1), "float64", following=run).gradients
    return {name: relative_error(run.gradients[name], truth[name]) for name in truth}


def table(columns: Mapping[str, Errors]) -> str:
    """One line a layer; for each of `columns`, by its title, the three errors."""
    kinds = ("output", "gradient", "statistics")
    by_layer = {title: errors.by_layer() for title, errors in columns.items()}
    layers = next(iter(by_layer.values()))
    width = max(map(len, layers))
    lines = [
        " " * width + "".join(f"  {title:^34}" for title in columns),
        f"{'layer':{width}}" + "".join("".join(f"  {kind:>10}" for kind in kinds) for _ in columns),
    ]
    for layer in layers:
        cells = []
        for errors in by_layer.values():
            activation, gradients, statistics = errors[layer]
            cells += [activation, max(gradients, default=None), max(statistics, default=None)]
        lines.append(f"{layer:{width}}" + "".join(f"  {_number(cell)}" for cell in cells))
    return "\n".join(lines)


def losses_table(columns: Mapping[str, Errors], truth: Run) -> str:
    """One line a step: the true loss, and the error of each of `columns`."""
    lines = [f"{'step':>4}  {'loss':>12}" + "".join(f"  {title:>20}" for title in columns)]
    for step, loss in enumerate(truth.losses):
        errors = "".join(f"  {errors.losses[step]:20.1e}" for errors in columns.values())
        lines.append(f"{step + 1:4}  {loss:12.8f}{errors}")
    return "\n".join(lines)


def _number(error: float | None) -> str:
    return " " * 10 if error is None else f"{error:10.1e}"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    default = Experiment()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=models.MODELS, default=default.model, help="default: %(default)s")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="default: %(default)s")
    parser.add_argument("--size", type=int, default=default.size, help="pixels a side (default %(default)s)")
    parser.add_argument("--batch", type=int, default=default.batch, help="images (default %(default)s)")
    parser.add_argument("--steps", type=int, default=default.steps, help="of SGD (default %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate, help="default %(default)s")
    parser.add_argument("--kernels", default="", help="variants to force, such as conv2d=reference,concat=auto")
    options = parser.parse_args(arguments)
    for name in ("batch", "steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    experiment = Experiment(options.model, options.size, options.batch, options.steps, options.learning_rate)
    try:
        set_default_kernels(options.kernels, "--kernels")
        runs = {f"minigrad {options.dtype}": run_minigrad(experiment, options.dtype)}
    except mg.MinigradError as error:
        print(f"benchmarks.parity: {error}", file=sys.stderr)
        return 1
    truth = run_torch(experiment, "float64")
    if options.dtype != "float64":
        runs[f"PyTorch {options.dtype}"] = run_torch(experiment, options.dtype)
    columns = {title: Errors.of(run, truth) for title, run in runs.items()}
    print(f"{experiment}\nPyTorch {torch.__version__}, NumPy {np.__version__}; truth: PyTorch float64\n")
    print(table(columns))
    print(f"\n{losses_table(columns, truth)}\n")
    for title, errors in columns.items():
        worst = ", ".join(f"{kind} {error:.1e}" for kind, error in errors.worst().items())
        print(f"{title}: worst errors: {worst}")
        try:
            alike = max(gradient_errors_alike(experiment, runs[title]).values())
            print(f"{title}: worst error of gradients where the truth decides alike: {alike:.1e}")
        except ValueError as error:
            print(f"{title}: no truth that decides alike: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
