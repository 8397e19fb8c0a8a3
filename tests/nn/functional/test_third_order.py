"""Gradients of gradients of gradients: the second gradients of each function's gradient, by finite differences."""

import pytest

import minigrad as mg
import minigrad.nn.functional as F
from claims.ops import drawn

IMAGE, FILTER, VECTOR = (1, 2, 3, 3), (2, 2, 2, 2), (2,)
FUNCTIONS = {
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1, stride=2), [IMAGE, FILTER, VECTOR]),
    "conv_transpose2d": (lambda x, w: F.conv_transpose2d(x, w, stride=2), [(1, 2, 2, 2), FILTER]),
    "max_pool2d": (lambda x: F.max_pool2d(x * x, 3, 2, 1), [IMAGE]),
    "avg_pool2d": (lambda x: F.avg_pool2d(x * x, 3, 2, 1), [IMAGE]),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x * x, 3), [IMAGE]),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True, eps=0.5), [(3, 2), VECTOR, VECTOR]),
    "local_response_norm": (lambda x: F.local_response_norm(x, 2, 1.0), [(1, 3, 2, 1)]),
    "softmax": (F.softmax, [(2, 3)]),
    "log_softmax": (F.log_softmax, [(2, 3)]),
    "cross_entropy": (lambda x: F.cross_entropy(x, mg.tensor([0, 2])), [(2, 3)]),
    "interpolate": (lambda x: F.interpolate(x * x, 3, mode="bilinear"), [(1, 1, 2, 2)]),
    "linear": (F.linear, [(2, 3), (2, 3), VECTOR]),
    "prod": (mg.prod, [(4,)]),
    "std": (mg.std, [(4,)]),
    "einsum": (lambda a, b: mg.einsum("ij,jk->ik", a, b), [(2, 3), (3, 2)]),
    "take": (lambda x: mg.take(x * x * x, [0, 2, 0], 0), [(3,)]),
    "divide": (mg.divide, [(3,), (3,)]),
    "pow": (mg.pow, [(3,), (3,)]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_third_order(name):
    function, shapes = FUNCTIONS[name]
    inputs = [mg.tensor(drawn(shape, i, 0.5, 2.0), requires_grad=True) for i, shape in enumerate(shapes)]

    def gradients(*inputs):
        y = function(*inputs)
        # Squared, so that functions that are linear have a third order, too.
        return mg.grad((y * y).sum(), inputs, create_graph=True)

    assert mg.gradgradcheck(gradients, inputs)
