"""Branches joined by `concat_branches` give what concat gives of them, with less work, and nobody notices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from claims.variants import without_compiler
from minigrad.autograd import Function, Hook, hook
from minigrad.models import BasicConv2d, Inception
from minigrad.nn import Module, Sequential, concat_branches
from minigrad.tensor import Tensor

GENERATOR = np.random.default_rng(0)

# Sums of some hundred products, in another order: a few roundings (6e-8, 1e-16), which gradients through batch
# norm multiply by what little is left of differences.
TOLERANCES = {"float32": 1e-5, "float64": 1e-13}


def inception(dtype: str = "float64", device: str = "cpu") -> Inception:
    model = Inception(6, 8, 4, 12, 2, 4, 4)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim:
            tensor.data[...] = GENERATOR.uniform(0.5, 2, tensor.shape) * GENERATOR.choice([-1, 1], tensor.shape)
    for name, buffer in model.named_buffers():
        if "var" in name:
            buffer.data[...] = np.abs(buffer.data)
    return model.to(device, dtype)


def images(dtype: str = "float64", device: str = "cpu", requires_grad: bool = True) -> Tensor:
    x = mg.tensor(GENERATOR.standard_normal((3, 6, 7, 5)), dtype=dtype, device=device)
    return x.requires_grad_(requires_grad)


def branches(model: Inception) -> list[Module]:
    return [model.branch1, model.branch2, model.branch3, model.branch4]


def plainly(model: Inception, x: Tensor) -> Tensor:
    """The result as the definition has it."""
    return mg.concat([branch(x) for branch in branches(model)], axis=1)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often each operation is carried out, forward."""
    counts: Counter[str] = Counter()

    class Count(Hook):
        def after_forward(self, function: Function, inputs: Any, output: Tensor) -> None:
            counts[function.name] += 1

    with hook(Count()):
        yield counts


def step(run: Callable[[Inception, Tensor], Tensor], model: Inception, x: Tensor) -> dict[str, np.ndarray]:
    """What a training step finds: the result, all gradients, and running statistics."""
    y = run(model, x)
    (y * mg.tensor(np.cos(np.arange(y.size)).reshape(y.shape), dtype=y.dtype, device=y.device)).sum().backward()
    leaves = {"x": x, **dict(model.named_parameters())}
    found = {"y": y, **{name: leaf.grad for name, leaf in leaves.items()}, **dict(model.named_buffers())}
    return {name: np.array(value.numpy()) for name, value in found.items() if value is not None}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, right in expected.items():
        assert np.linalg.norm(found[name] - right) <= tolerance * np.linalg.norm(right), name


def twice(dtype: str, device: str = "cpu") -> tuple[Inception, Inception, Tensor, Tensor]:
    """Two equal models and inputs."""
    model, copy = inception(dtype, device), inception(dtype, device)
    copy.load_state_dict(model.state_dict())
    x = images(dtype, device)
    return model, copy, x, x.detach().copy().requires_grad_()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("emulated", marks=without_compiler)])
def test_a_training_step_finds_what_the_branches_find_one_by_one(dtype: str, device: str) -> None:
    model, copy, x, same = twice(dtype, device)
    assert_same(step(Inception.forward, model, x), step(plainly, copy, same), TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("emulated", marks=without_compiler)])
def test_so_does_evaluation(dtype: str, device: str) -> None:
    model, x = inception(dtype, device).eval(), images(dtype, device)
    with mg.no_grad():
        found, expected = model(x).numpy(), plainly(model, x).numpy()
    assert np.linalg.norm(found - expected) <= TOLERANCES[dtype] * np.linalg.norm(expected)
    recorded = model(x)
    recorded.sum().backward()  # with gradients, too
    assert np.linalg.norm(recorded.numpy() - expected) <= TOLERANCES[dtype] * np.linalg.norm(expected)


def test_three_convolutions_of_one_input_are_one_forward_and_backward() -> None:
    model, x = inception(), images()
    with counted() as counts:
        model(x).sum().backward()
    # Three 1x1 as one, two 3x3, and the projection after the pool.
    assert [counts[name] for name in ("Conv2d", "Conv2dInputGradient", "Conv2dWeightGradient")] == [4, 4, 4]


def test_joining_and_its_gradient_copy_nothing() -> None:
    model, x, parts, gradients = inception(), images(), [], []

    class Look(Hook):
        def before_backward(self, function: Function, gradient: Tensor) -> None:
            if function.name in ("Conv2d", "Part"):
                gradients.append(gradient.data)

    for branch in branches(model):
        branch.register_forward_hook(lambda module, inputs, output: parts.append(output.data))
    y = model(x)
    assert all(np.shares_memory(part, y.data) for part in parts)
    with hook(Look()):
        y.sum().backward()
    (joined,) = [gradient for gradient in gradients if gradient.shape[1] == 8 + 4 + 2]
    assert sum(np.shares_memory(joined, other) for other in gradients if other is not joined) == 3


def test_gradients_of_gradients_are_those_of_the_branches_one_by_one() -> None:
    model, copy, x, same = twice("float64")

    def second(run: Callable[[Inception, Tensor], Tensor], model: Inception, x: Tensor) -> dict[str, np.ndarray]:
        (first,) = mg.grad((run(model, x) ** 2).sum(), [x], create_graph=True)
        (first**2).sum().backward()
        return {name: np.array(p.grad.numpy()) for name, p in {"x": x, **dict(model.named_parameters())}.items()}

    assert_same(second(Inception.forward, model, x), second(plainly, copy, same), 1e-12)


def test_a_graph_that_is_kept_gives_the_same_gradients_again() -> None:
    model, x = inception(), images()
    y = model(x).sum()
    first, second = (mg.grad(y, [x, *model.parameters()], retain_graph=True) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("frozen", ["branch1", "branch2", "branch3", "all of them"])
def test_parameters_without_gradients_change_no_other_gradient(frozen: str) -> None:
    model, copy, x, same = twice("float64")
    for one in (model, copy):
        (one if frozen == "all of them" else getattr(one, frozen)).requires_grad_(False)
    assert_same(step(Inception.forward, model, x), step(plainly, copy, same), 1e-13)


def test_a_branch_that_no_gradient_comes_through_has_none() -> None:
    class Detached(Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach()

    model, copy, x, same = twice("float64")
    for one in (model, copy):
        one.branch2.append(Detached())
    found, expected = step(Inception.forward, model, x), step(plainly, copy, same)
    # The filters of a convolution that is one with its neighbours get zeros, as neighbours in one parameter would.
    assert not found.pop("branch2.0.conv.weight").any()
    assert_same(found, expected, 1e-13)


def seen(model: Inception, run: Callable[[Inception, Tensor], Tensor], x: Tensor) -> list[tuple[str, Any, Any]]:
    """What hooks on all parts see."""
    calls: list[tuple[str, Any, Any]] = []
    for name, module in model.named_modules():
        if name:
            module.register_forward_hook(
                lambda module, inputs, output, name=name: calls.append((name, inputs[0].numpy(), output.numpy()))
            )
    run(model, x)
    return calls


def test_hooks_see_every_module_with_what_it_is_given_and_gives() -> None:
    model, copy, x, same = twice("float64")
    ours, theirs = seen(model, Inception.forward, x), seen(copy, plainly, same)
    assert [name for name, _, _ in ours] == [name for name, _, _ in theirs]
    for (name, *arrays), (_, *expected) in zip(ours, theirs, strict=True):
        for array, right in zip(arrays, expected, strict=True):
            np.testing.assert_allclose(array, right, rtol=1e-10, atol=1e-10, err_msg=name)


def test_a_hook_on_a_convolution_keeps_it_apart_until_it_is_removed() -> None:
    model, x = inception(), images()
    with model.branch3[0].conv.register_forward_hook(lambda module, inputs, output: None), counted() as counts:
        model(x)
    assert counts["Conv2d"] == 5
    with counted() as counts:
        model(x)
    assert counts["Conv2d"] == 4


def test_what_a_hook_returns_takes_the_place_of_a_result() -> None:
    model, x = inception(), images()
    model.branch2.register_forward_hook(lambda module, inputs, output: output * 0)
    y = model(x).numpy()
    assert not y[:, 8:20].any()
    assert y[:, :8].any()
    assert y[:, 20:].any()


def test_anomalies_are_looked_for_in_each_convolution_by_itself() -> None:
    model, x = inception(), images()
    model.branch3[0].conv.weight.data[...] = np.nan
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError) as caught:
        model(x)
    assert caught.value.module_path == "branch3.0.conv"


def test_kernels_that_know_no_places_are_used_as_ever() -> None:
    model, copy, x, same = twice("float64")
    with mg.use_kernels("reference"):
        assert_same(step(Inception.forward, model, x), step(plainly, copy, same), 1e-13)


def test_one_unit_in_two_branches_adds_up_its_gradients() -> None:
    unit = BasicConv2d(6, 4, 1).to(dtype="float64")

    def gradient(run: Callable[[list[Module], Tensor], Tensor]) -> np.ndarray:
        unit.zero_grad()
        (run([unit, Sequential(unit), BasicConv2d(6, 2, 1).to(dtype="float64")], x) ** 2).sum().backward()
        return unit.bn.weight.grad.numpy()

    x = images()
    expected = gradient(lambda parts, x: mg.concat([part(x) for part in parts], axis=1))
    np.testing.assert_allclose(gradient(concat_branches), expected, rtol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_layers_shared_by_two_units_are_not_taken_for_one(training: bool) -> None:
    first, second = (BasicConv2d(6, 4, 1).train(training) for _ in range(2))
    second.conv = first.conv
    second.bn.weight.data[...], second.bn.running_var.data[...] = -2, 5
    x = images("float32")
    with mg.no_grad():
        found = concat_branches([Sequential(first), first, second], x).numpy()
        expected = np.concatenate([first(x).numpy(), first(x).numpy(), second(x).numpy()], 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_branches_of_any_kind_are_joined() -> None:
    x = images()
    own = [Sequential(), mg.nn.MaxPool2d(3, 1, 1), mg.nn.ReLU(), BasicConv2d(6, 4, 1).to(dtype="float64")]
    expected = np.concatenate([branch(x).numpy() for branch in own], 1)
    np.testing.assert_array_equal(concat_branches(own, x).numpy(), expected)


def test_a_change_of_the_joined_result_is_noticed_by_what_reads_a_part() -> None:
    class Squared(Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x

    model, x, kept = inception(), images(), []
    model.branch2.register_forward_hook(lambda module, inputs, output: kept.append((output * output).sum()))
    y = model(x)
    y.data[...] = 0
    y.note_change("the test")
    with pytest.raises(mg.GraphError, match="changed in place"):
        kept[0].backward()


def test_without_a_change_nothing_is_noticed() -> None:
    model, x = inception(), images()
    squares = []
    for branch in branches(model):
        branch.register_forward_hook(lambda module, inputs, output: squares.append((output * output).sum()))
    y = model(x)
    (sum(squares[1:], squares[0]) + (y * y).sum()).backward()


def test_what_does_not_fit_is_said_in_the_words_of_the_branch() -> None:
    model = inception()
    with pytest.raises(mg.ShapeError, match=r"input \(2, 5, 7, 7\) has 5 channels, weight \(8, 6, 1, 1\)"):
        model(mg.zeros((2, 5, 7, 7), "float64"))
