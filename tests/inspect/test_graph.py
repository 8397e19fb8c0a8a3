"""Drawings of the graph behind a Tensor."""

import minigrad as mg
from minigrad import nn


def test_text_lists_inputs_before_what_is_made_of_them() -> None:
    x = mg.ones((2, 3), requires_grad=True)
    y = mg.exp(x)
    z = (y * y + x).sum()
    assert mg.inspect.graph_text(z, {"x": x}).splitlines() == [
        "%0 = x  (2, 3) float32",
        "%1 = exp(%0)  (2, 3) float32",
        "%2 = multiply(%1, %1)  (2, 3) float32",
        "%3 = add(%2, %0)  (2, 3) float32",
        "%4 = sum(%3)  () float32",
    ]


def test_parameters_and_modules_have_their_names() -> None:
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 3, bias=False)), nn.ReLU())
    with mg.inspect.record_origins():
        y = net(mg.ones((1, 2)))
    lines = mg.inspect.graph_text(y, net).splitlines()
    assert lines[0] == "%0 = 0.0.weight  (3, 2) float32"
    assert lines[-1] == f"%{len(lines) - 1} = relu(%{len(lines) - 2})  (1, 3) float32  1"
    assert lines[-2].endswith("0.0")


def test_a_leaf_is_a_graph_of_one() -> None:
    assert mg.inspect.graph_text(mg.ones(2, requires_grad=True)) == "%0 = tensor  (2,) float32"
    assert mg.inspect.graph_text(nn.Parameter([1.0])) == "%0 = parameter  (1,) float32"


def test_dot_has_a_node_each_and_an_arrow_an_input() -> None:
    x = mg.ones(2, requires_grad=True)
    assert mg.inspect.graph_dot(x * x, {'the "x"': x}) == (
        "digraph {\n"
        "  node [fontname=Helvetica, fontsize=10];\n"
        '  n0 [label="the \\"x\\"\\n(2,) float32", shape=box];\n'
        '  n1 [label="multiply\\n(2,) float32", shape=ellipse];\n'
        "  n0 -> n1;\n"
        "  n0 -> n1;\n"
        "}"
    )


def test_a_graph_deeper_than_the_stack_is_drawn() -> None:
    x = y = mg.ones(1, requires_grad=True)
    for _ in range(3000):
        y = y + x
    assert len(mg.inspect.graph_text(y).splitlines()) == 3001
