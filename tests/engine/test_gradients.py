"""The tape: backward, grad, and what is kept, freed, skipped or refused."""

import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from claims.ops import assert_error, drawn


def leaf(*values):
    return mg.tensor(list(values), dtype="float64", requires_grad=True)


class Count(mg.Hook):
    """Which Functions went forward and back."""

    def __init__(self):
        self.forward, self.backward = [], []

    def after_forward(self, function, inputs, output):
        self.forward.append(function.name)

    def before_backward(self, function, gradient):
        self.backward.append(function.name)


def test_backward_fills_grad_of_leaves_only():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = x * y
    h.sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]
    assert y.grad.tolist() == [1.0, 2.0]
    assert h.grad is None
    assert not h.is_leaf


def test_gradients_add_up_over_passes_until_they_are_cleared():
    x = leaf(2.0)
    for expected in (4.0, 8.0):
        (x * x).sum().backward()
        assert x.grad.item() == expected
    x.grad = None
    (x * x).sum().backward()
    assert x.grad.item() == 4.0


def test_a_diamond_adds_both_sides():
    x = leaf(3.0)
    h = x * 2
    (h * h + h).sum().backward()
    assert x.grad.item() == 2 * (2 * 6 + 1)


def test_one_input_twice():
    x = leaf(3.0)
    (x * x).sum().backward()
    assert x.grad.item() == 6.0


def test_many_terms_into_one_leaf():
    x = leaf(1.0, 2.0)
    sum((x * k for k in range(10)), mg.zeros(2, "float64")).sum().backward()
    assert x.grad.tolist() == [45.0, 45.0]


def test_backward_from_an_array_needs_its_gradient():
    x = leaf(1.0, 2.0)
    y = x * x
    y.backward(mg.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]
    assert x.grad.dtype == np.float64


def test_backward_from_a_leaf():
    x = leaf(2.0)
    x.backward()
    assert x.grad.tolist() == [1.0]


def test_gradients_of_leaves_never_share_memory():
    x, y, z = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0, 6.0)
    start = np.array([1.0, 2.0])
    for create_graph in (False, True):
        x.grad = y.grad = z.grad = None
        (x + y + z.reshape(2)).backward(start, create_graph=create_graph)
        arrays = [x.grad.numpy(), y.grad.numpy(), z.grad.numpy(), start]
        assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def test_gradients_can_be_written_to():
    x = leaf(1.0, 2.0)
    x.sum().backward()
    x.grad[0] = 7.0
    assert x.grad.tolist() == [7.0, 1.0]


def test_gradients_that_lie_beside_one_another_in_one_array_are_not_copied():
    a, b = (mg.ones((2, 3)).requires_grad_() for _ in range(2))
    (mg.concat([a, b]) * mg.ones((4, 3))).sum().backward()
    assert a.grad.data.base is b.grad.data.base is not None
    assert not np.shares_memory(a.grad.data, b.grad.data)


def test_gradient_does_not_share_memory_with_a_leaf_whose_function_hands_it_on():
    class HalfSquare(mg.Function):
        def forward(self, x):
            return x * x / 2

        def backward(self, gradient):
            return self.inputs[0]

    x = leaf(1.0, 2.0)
    HalfSquare()(x).sum().backward()
    x.grad[0] = 100.0
    assert x.tolist() == [1.0, 2.0]


def test_a_second_pass_needs_the_graph_retained():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0
    assert_error(y.backward, mg.GraphError, "freed", "sum", "retain_graph=True")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.avg_pool2d(x, 2),
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: F.conv2d(x, mg.ones((1, 2, 1, 1), "float64")),
        lambda x: mg.max(x, 0),
        mg.exp,
        lambda x: mg.clip(x, 0, 1),
    ],
)
def test_every_kind_of_function_says_that_it_was_freed(function):
    x = mg.tensor(drawn((2, 2, 4, 4)), requires_grad=True)
    y = function(x)
    y.backward(mg.ones(y.shape))
    assert_error(lambda: y.backward(mg.ones(y.shape)), mg.GraphError, "freed by an earlier backward pass")


def test_a_freed_part_of_a_graph_is_named_behind_a_new_part():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward()
    assert_error((y * 2).backward, mg.GraphError, "freed", "sum")
    assert_error(lambda: mg.grad(y * 2, x), mg.GraphError, "freed", "sum")


def test_a_freed_branch_is_no_obstacle_where_it_is_not_needed():
    x, z = leaf(2.0), leaf(3.0)
    y = (x * x).sum()
    y.backward()
    assert mg.grad(y + (z * z).sum(), z)[0].item() == 6.0


def test_gradient_by_a_result_leaves_the_graph_behind_it():
    x = leaf(2.0)
    h = x * x
    (g,) = mg.grad((h * h).sum(), h)
    assert g.item() == 8.0
    h.backward(g)
    assert x.grad.item() == 32.0


def test_gradient_by_a_result_whose_own_graph_was_freed():
    x = leaf(2.0)
    h = x * x
    h.sum().backward()
    assert mg.grad((h * 3).sum(), h)[0].item() == 3.0


def test_backward_frees_what_forward_kept():
    x = leaf(1.0, 2.0)
    h = x * 2
    kept = weakref.ref(h)
    y = (h * h).sum()
    del h
    assert kept() is not None
    y.backward()
    assert kept() is None


def test_a_graph_dies_with_its_result_without_the_garbage_collector():
    gc.disable()
    try:
        x = mg.tensor(drawn((2, 2, 4, 4)), requires_grad=True)
        h = mg.exp(F.batch_norm(x, None, None, training=True))
        y = F.max_pool2d(mg.sigmoid(h), 2).sum()
        kept = weakref.ref(y.node)
        del h, y
        assert kept() is None
    finally:
        gc.enable()


def test_grad_gives_gradients_and_leaves_grad_alone():
    x, y = leaf(2.0), leaf(5.0)
    gx, gy = mg.grad((x * y).sum(), [x, y])
    assert (gx.item(), gy.item()) == (5.0, 2.0)
    assert x.grad is None
    assert y.grad is None


def test_grad_of_several_outputs_adds_them():
    x = leaf(2.0)
    (g,) = mg.grad([x * 3, x * x], x, [mg.tensor([1.0]), np.array([10.0])])
    assert g.item() == 3 + 10 * 4


def test_grad_by_an_output_itself():
    x = leaf(2.0)
    y = x * 3
    assert [g.item() for g in mg.grad(y, [y, x])] == [1.0, 3.0]


def test_grad_by_results_on_the_way():
    x = leaf(2.0)
    h = x * x
    k = h * h
    gk, gh, gx = mg.grad(k.sum(), [k, h, x])
    assert (gk.item(), gh.item(), gx.item()) == (1.0, 8.0, 32.0)


def test_grad_does_not_go_back_where_nothing_is_wanted():
    x, y = leaf(2.0), leaf(3.0)
    h = x * x
    branch = mg.exp(mg.sin(mg.cos(y)))
    out = (h * h + branch).sum()
    with mg.hook(count := Count()):
        mg.grad(out, h)
    assert count.backward == ["sum", "add", "multiply"]


def test_grad_of_one_operand_does_not_compute_the_others():
    x, y = leaf(2.0), leaf(3.0)
    out = mg.matmul(x, y)
    with mg.hook(count := Count()):
        mg.grad(out, x)
    assert count.backward.count("MatMul") == 1
    assert count.forward.count("MatMul") == 1


def test_inputs_that_are_not_used():
    x, y = leaf(2.0), leaf(3.0)
    out = (x * x).sum()
    assert_error(lambda: mg.grad(out, [x, y], retain_graph=True), mg.GraphError, "input 1", "(1,)", "allow_unused")
    gx, gy = mg.grad(out, [x, y], allow_unused=True)
    assert gx.item() == 4.0
    assert gy is None


def test_higher_orders():
    x = leaf(2.0)
    y = x**4
    orders = [y]
    for _ in range(4):
        orders.append(mg.grad(orders[-1].sum(), x, create_graph=True)[0])
    assert [o.item() for o in orders] == [16.0, 32.0, 48.0, 48.0, 24.0]


def test_third_derivative_through_fused_kernels():
    x = mg.tensor(drawn((2, 3)), requires_grad=True)

    def directional(x):
        loss = F.cross_entropy(x, mg.tensor([0, 2]))
        (g,) = mg.grad(loss, x, create_graph=True)
        (h,) = mg.grad((g * g).sum(), x, create_graph=True)
        return h

    assert mg.gradcheck(directional, x)


def test_gradient_penalty_reaches_the_leaves():
    x = leaf(3.0)
    (x * x * x).sum().backward(create_graph=True)
    g = x.grad
    x.grad = None
    (g * g).sum().backward()
    assert x.grad.item() == 2 * (3 * 9) * (6 * 3)


def test_results_of_a_recorded_pass_are_on_the_tape_and_others_are_not():
    x = leaf(3.0)
    assert mg.grad((x * x).sum(), x, create_graph=True)[0].requires_grad
    assert not mg.grad((x * x).sum(), x)[0].requires_grad


@pytest.mark.parametrize("go", [lambda y, x: y.sum().backward(), lambda y, x: mg.grad(y.sum(), x)])
def test_a_graph_100000_deep(go):
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    go(y, x)
    if x.grad is not None:
        assert x.grad.item() == 1.0
    del y  # what is left of the graph goes without recursion as well


def test_a_graph_100000_deep_is_dropped_without_going_back():
    x = y = leaf(1.0)
    for _ in range(100_000):
        y = y * 1.0
    del y
    (x * 2).sum().backward()
    assert x.grad.item() == 2.0


def test_a_parameter_read_20000_times():
    # A list of readers that is searched at every read would take minutes.
    w, y = leaf(1.0), leaf(1.0)
    for _ in range(20_000):
        y = y * w
    y.sum().backward()
    assert w.grad.item() == 20_000.0


def test_no_grad_records_nothing():
    x = leaf(2.0)
    with mg.no_grad():
        assert not mg.is_grad_enabled()
        y = x * x
        with mg.set_grad_enabled(True):
            z = x * x
    assert mg.is_grad_enabled()
    assert not y.requires_grad
    assert y.is_leaf
    assert z.requires_grad


def test_no_grad_decorates():
    @mg.no_grad()
    def function(x):
        return x * x

    assert not function(leaf(2.0)).requires_grad
    assert mg.is_grad_enabled()


def test_no_grad_ends_with_an_exception():
    with pytest.raises(ZeroDivisionError), mg.no_grad():
        raise ZeroDivisionError
    assert mg.is_grad_enabled()


def test_detach_cuts_the_graph():
    x = leaf(2.0)
    y = x * x
    (y.detach() * x).sum().backward()
    assert x.grad.item() == 4.0
    assert np.shares_memory(y.detach().numpy(), y.numpy())


def test_constants_and_integers_are_not_on_the_tape():
    x = leaf(2.0)
    assert not (mg.tensor([1.0]) * 2).requires_grad
    assert not (x > 1).requires_grad
    assert not x.argmax().requires_grad


def test_gradients_come_back_in_the_dtype_of_each_input():
    x = mg.tensor([1.0], dtype="float32", requires_grad=True)
    y = mg.tensor([2.0], dtype="float64", requires_grad=True)
    z = mg.tensor([2.0], dtype="float16", requires_grad=True)
    (x * y * z).sum().backward()
    assert (x.grad.dtype, y.grad.dtype, z.grad.dtype) == (np.float32, np.float64, np.float16)


X = mg.zeros((2, 3), requires_grad=True)
ERRORS = {
    "no gradient": (lambda: mg.zeros(1).backward(), mg.GraphError, ["(1,)", "does not require"]),
    "not a number": (lambda: (X * 2).backward(), mg.GraphError, ["(2, 3)", "explicit gradient"]),
    "gradient shape": (lambda: (X * 2).backward(mg.zeros(3)), mg.ShapeError, ["(3,)", "(2, 3)"]),
    "input": (lambda: mg.grad(X.sum(), mg.zeros(2)), mg.GraphError, ["input 0", "(2,)", "does not require"]),
    "input array": (lambda: mg.grad(X.sum(), [X, np.zeros(2)]), mg.GraphError, ["input 1", "ndarray"]),
    "output array": (lambda: mg.grad([np.zeros(())], X), mg.GraphError, ["Tensor", "ndarray"]),
    "grad_outputs": (lambda: mg.grad([X.sum()], X, [None, None]), mg.GraphError, ["1 outputs", "2 entries"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)


@pytest.mark.parametrize(
    "function", [lambda y, x: mg.grad(y, 3), lambda y, x: mg.grad(3, x), lambda y, x: mg.gradcheck(abs, 3)]
)
def test_what_is_no_tensor_has_no_gradient(function):
    x = mg.tensor([1.0], requires_grad=True)
    with pytest.raises(mg.GraphError, match="must be a Tensor or a sequence of Tensors, not int"):
        function((x * x).sum(), x)
