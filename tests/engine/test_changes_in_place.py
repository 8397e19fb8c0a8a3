"""Values that change between the forward and the backward pass: no wrong gradient is ever given.

Each program is written once and run with both libraries. Where the tape needs the old values both raise; where it
does without them both give the same gradient.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import minigrad as mg
from claims.ops import assert_error

OURS = SimpleNamespace(
    nn=mg.nn,
    optim=mg.optim,
    no_grad=mg.no_grad,
    exp=mg.exp,
    leaf=lambda *values: mg.tensor(list(values), dtype="float64", requires_grad=True),
    constant=lambda values: mg.tensor(np.asarray(values, dtype="float64")),
    linear=lambda *sizes: mg.nn.Linear(*sizes, bias=False).to(dtype="float64"),
    batch_norm=lambda channels: mg.nn.BatchNorm2d(channels).to(dtype="float64"),
    grad=mg.grad,
    clip=mg.optim.clip_grad_norm_,
)
TORCH = SimpleNamespace(
    nn=torch.nn,
    optim=torch.optim,
    no_grad=torch.no_grad,
    exp=torch.exp,
    leaf=lambda *values: torch.tensor(list(values), dtype=torch.float64, requires_grad=True),
    constant=lambda values: torch.tensor(np.asarray(values, dtype="float64")),
    linear=lambda *sizes: torch.nn.Linear(*sizes, bias=False, dtype=torch.float64),
    batch_norm=lambda channels: torch.nn.BatchNorm2d(channels, dtype=torch.float64),
    grad=torch.autograd.grad,
    clip=torch.nn.utils.clip_grad_norm_,
)
IMAGES = np.linspace(-1.0, 3.0, 24).reshape(2, 3, 2, 2) ** 3


def step(lib, *parameters, optimizer=None):
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = lib.constant(np.ones(tuple(parameter.shape)))
    (optimizer or lib.optim.SGD)(parameters, lr=0.5).step()


def network(lib):
    """Two linear layers with known weights."""
    first, second = lib.linear(2, 3), lib.linear(3, 1)
    with lib.no_grad():
        for layer, values in ((first, np.arange(6.0).reshape(3, 2)), (second, [[1.0, -2.0, 3.0]])):
            layer.load_state_dict({"weight": lib.constant(values)})
    return first, second


def after(change):
    """A product that reads w, then `change`, then the backward pass."""

    def program(lib):
        w = lib.leaf(1.0, 2.0)
        loss = (w * w).sum()
        change(lib, w)
        loss.backward()
        return w.grad

    return program


def state_loaded(lib):
    first, second = network(lib)
    loss = second(first(lib.constant([[1.0, 2.0]]))).sum()
    second.load_state_dict({"weight": lib.constant([[5.0, 5.0, 5.0]])})
    loss.backward()
    return first.weight.grad


def later_layer_stepped(lib):
    first, second = network(lib)
    loss = second(first(lib.constant([[1.0, 2.0]]))).sum()
    step(lib, second.weight)
    loss.backward()
    return first.weight.grad


def two_losses(lib):
    """The mistake of adversarial training: one network steps before the other's loss has gone back through it."""
    first, second = network(lib)
    hidden = first(lib.constant([[1.0, 2.0]]))
    other_loss = (second(hidden) ** 2).sum()
    second(hidden.detach()).sum().backward()
    step(lib, second.weight)
    other_loss.backward()
    return first.weight.grad


def retained(lib):
    w = lib.leaf(1.0, 2.0)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    step(lib, w)
    loss.backward()
    return w.grad


def saved_output_filled(lib):
    w = lib.leaf(1.0, 2.0)
    y = lib.exp(w)
    lib.nn.init.constant_(y.detach(), 0.0)
    y.sum().backward()
    return w.grad


def saved_state_filled(lib):
    first, second = network(lib)
    loss = second(first(lib.constant([[1.0, 2.0]]))).sum()
    lib.nn.init.constant_(second.state_dict()["weight"], 7.0)
    loss.backward()
    return first.weight.grad


def between_first_and_second_gradient(lib):
    w = lib.leaf(1.0, 2.0)
    (first,) = lib.grad((w * w * w).sum(), [w], create_graph=True)
    step(lib, w)
    first.sum().backward()
    return w.grad


def recorded_gradient_clipped(lib):
    w = lib.leaf(1.0, 2.0)
    (w * w * w).sum().backward(create_graph=True)
    penalty = (w.grad * w.grad).sum()
    with lib.no_grad():
        lib.clip([w], 0.1)
    penalty.backward()
    return w.grad


NEEDED = {
    "step": (after(step), ["multiply", "Tensor of shape (2,)", "SGD.step() (its parameter 0)"]),
    "Adam": (after(lambda lib, w: step(lib, w, optimizer=lib.optim.Adam)), ["multiply", "Adam.step()"]),
    "initialiser": (after(lambda lib, w: lib.nn.init.uniform_(w)), ["multiply", "nn.init"]),
    "state loaded": (state_loaded, ["MatMul", "Parameter of shape (1, 3)", "load_state_dict() (weight)"]),
    "later layer": (later_layer_stepped, ["MatMul", "Parameter of shape (1, 3)", "SGD.step()"]),
    "two losses": (two_losses, ["MatMul", "Parameter of shape (1, 3)", "SGD.step()"]),
    "retained graph": (retained, ["multiply", "SGD.step()"]),
    "saved output": (saved_output_filled, ["exp", "Tensor of shape (2,)", "nn.init"]),
    "saved state": (saved_state_filled, ["MatMul", "of shape (1, 3)", "nn.init"]),
    "second gradient": (between_first_and_second_gradient, ["multiply", "SGD.step()"]),
    "clipped gradient": (recorded_gradient_clipped, ["multiply", "clip_grad_norm_()"]),
}


@pytest.mark.filterwarnings("ignore:Using backward")  # PyTorch: a recorded .grad is a cycle
@pytest.mark.parametrize("case", NEEDED)
def test_no_gradient_is_made_of_values_that_changed(case):
    program, fragments = NEEDED[case]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        program(TORCH)
    assert_error(lambda: program(OURS), mg.GraphError, *fragments, "changed in place", "repeat the forward pass")


def sum_of_two(lib):
    w = lib.leaf(1.0, 2.0)
    loss = (w + 1.0).sum()
    step(lib, w)
    loss.backward()
    return w.grad


def constant_factor(lib):
    w = lib.leaf(1.0, 2.0)
    loss = (w * lib.constant([3.0, 4.0]) * 5.0).sum()
    step(lib, w)
    w.grad = None
    loss.backward()
    return w.grad


def first_layer(lib):
    first, second = network(lib)
    loss = second(first(lib.constant([[1.0, 2.0]]))).sum()
    step(lib, first.weight)
    first.weight.grad = None
    loss.backward()
    return first.weight.grad


def training(lib):
    first, second = network(lib)
    optimizer = lib.optim.SGD([first.weight, second.weight], lr=0.01, momentum=0.9)
    for i in range(4):
        for part in range(2):  # gradients of two parts of a batch add up
            second(first(lib.constant([[i, part + 1.0]]))).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    (second(first(lib.constant([[1.0, 2.0]]))) ** 2).sum().backward()
    return first.weight.grad


def changed_before(lib):
    w = lib.leaf(1.0, 2.0)
    (w * w).sum().backward()
    step(lib, w)
    lib.nn.init.constant_(w, 3.0)
    (w * w).sum().backward()
    return w.grad


def batch_norm_twice(lib):
    norm = lib.batch_norm(3)
    y, z = norm(lib.constant(IMAGES)), norm(lib.constant(IMAGES * 2.0 + 1.0))
    ((y * z) ** 2).sum().backward()
    return norm.weight.grad


def evaluated_in_between(lib):
    norm = lib.batch_norm(3)
    y = norm(lib.constant(IMAGES))
    with lib.no_grad():
        norm.eval()(lib.constant(IMAGES))
    norm.train()(lib.constant(IMAGES))
    (y**3).sum().backward()
    return norm.weight.grad


def other_branch(lib):
    w, v = lib.leaf(1.0, 2.0), lib.leaf(3.0, 4.0)
    used, unused = (w * w).sum(), (v * v).sum()
    step(lib, v)
    used.backward()
    del unused
    return w.grad


def retained_and_unchanged(lib):
    w = lib.leaf(1.0, 2.0)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    return w.grad


NOT_NEEDED = {
    "addition": sum_of_two,
    "constant factor": constant_factor,
    "first layer": first_layer,
    "training": training,
    "changed before": changed_before,
    "batch norm twice": batch_norm_twice,
    "evaluated in between": evaluated_in_between,
    "other branch": other_branch,
    "retained and unchanged": retained_and_unchanged,
}


@pytest.mark.parametrize("case", NOT_NEEDED)
def test_what_the_backward_pass_does_not_read_may_change(case):
    program = NOT_NEEDED[case]
    # A few roundings of float64; batch norm divides by a standard deviation in another order.
    np.testing.assert_allclose(program(OURS).numpy(), program(TORCH).numpy(), rtol=1e-10)


def test_running_statistics_that_moved_are_not_those_that_evaluation_read():
    """PyTorch's batch norm does not say that it moves them, and its gradient is wrong here."""
    norm = OURS.batch_norm(3)
    y = norm.eval()(OURS.constant(IMAGES))
    norm.train()(OURS.constant(IMAGES + 1.0))
    fragments = ["BatchNormEvaluation", "Buffer of shape (3,)", "changed in place by batch_norm in training mode"]
    assert_error((y * y).sum().backward, mg.GraphError, *fragments)


def test_targets_that_changed_are_not_those_of_the_loss():
    logits, targets = OURS.leaf(1.0, 2.0, 3.0).reshape(1, 3), mg.tensor([2])
    loss = mg.nn.functional.cross_entropy(logits, targets)
    mg.nn.init.zeros_(targets)
    assert_error(loss.backward, mg.GraphError, "CrossEntropy", "changed in place by an initialiser of nn.init")


class Square(mg.nn.Module):
    def __init__(self):
        self.weight = mg.nn.Parameter([1.0, 2.0])

    def forward(self):
        return (self.weight * self.weight).sum()


def averaged():
    """A module with the weights 0.5 and 1.5, and an average of 1 and 2."""
    model = Square()
    average = mg.optim.ExponentialMovingAverage(model)
    average.update()
    with mg.no_grad():
        model.weight[:] = [0.5, 1.5]
    return model, average


def test_a_weight_average_is_not_what_the_forward_pass_read():
    model, average = averaged()
    loss = model()
    with average.applied():
        assert_error(loss.backward, mg.GraphError, "multiply", "Parameter of shape (2,)", "replaced", "average")


def test_the_weights_are_not_what_was_read_under_an_average():
    model, average = averaged()
    with average.applied():
        loss = model()
    assert_error(loss.backward, mg.GraphError, "multiply", "Parameter of shape (2,)", "replaced", "average")


def test_an_evaluation_with_averaged_weights_leaves_the_graph_as_it_was():
    model, average = averaged()
    loss = model()
    with average.applied(), mg.no_grad():
        assert model().item() == 5.0
    loss.backward()
    assert model.weight.grad.tolist() == [1.0, 3.0]


def test_a_module_that_was_converted_no_longer_has_what_the_forward_pass_read():
    model = Square()
    loss = model()
    model.to(dtype="float64")
    assert_error(loss.backward, mg.GraphError, "multiply", "(2,)", "replaced", "Module.to")


def test_a_view_keeps_what_the_forward_pass_read_when_the_weights_are_replaced():
    first, second = network(OURS)
    loss = (first(OURS.constant([[1.0, 2.0]])) @ second.weight.T).sum()
    second.weight.data = np.zeros((1, 3))
    loss.backward()
    assert first.weight.grad.tolist() == [[1.0, 2.0], [-2.0, -4.0], [3.0, 6.0]]


def test_a_parameter_is_the_memory_it_was_made_of():
    x = OURS.leaf(1.0, 2.0)
    parameter = mg.nn.Parameter(x)
    loss = (parameter * parameter).sum()
    mg.nn.init.zeros_(x)
    assert_error(loss.backward, mg.GraphError, "changed in place", "nn.init")


def test_the_error_says_where_the_forward_call_stood():
    first, second = network(OURS)
    with mg.inspect.record_origins():
        loss = second(first(OURS.constant([[1.0, 2.0]]))).sum()
    step(OURS, second.weight)
    assert_error(loss.backward, mg.GraphError, "in Linear", "test_changes_in_place.py")


def test_no_gradient_is_left_half_made():
    first, second = network(OURS)
    loss = second(first(OURS.constant([[1.0, 2.0]]))).sum()
    step(OURS, second.weight)
    second.weight.grad = None
    assert_error(loss.backward, mg.GraphError, "changed in place")
    assert first.weight.grad is None
    assert second.weight.grad is None


def test_a_function_that_repeats_its_forward_pass_refuses_changed_weights():
    class Checkpoint(mg.Function):
        def forward(self, x, w):
            return np.tanh(x * w)

        def backward(self, gradient):
            with mg.set_grad_enabled(True):
                x, w = (x.detach().requires_grad_() for x in self.inputs)
                return mg.grad(mg.tanh(x * w), [x, w], gradient)

    x, w = OURS.leaf(1.0, 2.0), OURS.leaf(0.5, 0.25)
    Checkpoint()(x, w).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), x.numpy() / np.cosh(x.numpy() * w.numpy()) ** 2, rtol=1e-14)
    loss = Checkpoint()(x, w).sum()
    step(OURS, w)
    assert_error(loss.backward, mg.GraphError, "Checkpoint", "SGD.step()")


def test_readers_that_are_gone_are_forgotten():
    w = OURS.leaf(1.0, 2.0)
    for _ in range(200):
        (w * w).sum().backward()
    assert len(w.readers) <= 16
    step(OURS, w)
    assert not w.readers


def test_inputs_that_no_gradient_reads_are_let_go():
    w = OURS.leaf(1.0, 2.0)
    product = w * OURS.constant([3.0, 4.0])
    assert product.node.inputs[0] is None
    assert product.node.inputs[1].tolist() == [3.0, 4.0]


def test_a_concat_that_copies_nothing_shares_the_memory_of_what_it_joins():
    """Adjacent slices of channels-last memory are joined as a view."""
    p = mg.nn.Parameter(np.ones((1, 3, 3, 4), np.float32).transpose(0, 3, 1, 2))
    joined = mg.concat([p[:, :2], p[:, 2:]], axis=1)
    assert np.shares_memory(joined.numpy(), p.numpy())
    loss = (joined * joined).sum()
    mg.nn.init.zeros_(p)
    assert_error(loss.backward, mg.GraphError, "changed in place", "nn.init")
