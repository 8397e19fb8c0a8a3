"""What a Module does with its parts."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn


class Block(nn.Module):
    def __init__(self) -> None:
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.bn(self.conv(x))


class Net(nn.Module):
    def __init__(self) -> None:
        self.scale = nn.Parameter([2.0])
        self.stem = nn.Sequential(Block(), nn.ReLU())
        self.offset = nn.Buffer([0.5])
        self.fc = nn.Linear(4, 2)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.fc(mg.mean(self.stem(x * self.scale), (2, 3)) + self.offset)


class TorchBlock(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, bias=False)
        self.bn = torch.nn.BatchNorm2d(4)


class TorchNet(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor([2.0]))
        self.stem = torch.nn.Sequential(TorchBlock(), torch.nn.ReLU())
        self.register_buffer("offset", torch.tensor([0.5]))
        self.fc = torch.nn.Linear(4, 2)


IMAGES = (2, 3, 5, 5)


def test_names_come_in_pytorchs_order() -> None:
    ours, theirs = Net(), TorchNet()
    for walk in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, walk)()] == [n for n, _ in getattr(theirs, walk)()], walk
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_values_without_names_come_in_the_same_order() -> None:
    net = Net()
    for walk in ("parameters", "buffers", "modules", "children"):
        named = [value for _, value in getattr(net, f"named_{walk}")()]
        assert [id(v) for v in getattr(net, walk)()] == [id(v) for v in named], walk


def test_a_shared_part_is_walked_once_and_saved_under_each_name() -> None:
    shared = nn.Linear(2, 2)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    assert [name for name, _ in net.named_modules()] == ["", "0", "1"]
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_train_and_eval_reach_every_part() -> None:
    net = Net()
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert all(module.training for module in net.train().modules())


def test_zero_grad_forgets_every_gradient() -> None:
    net = Net()
    net(mg.ones(IMAGES)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_frozen_parameters_get_no_gradient() -> None:
    net = Net()
    net.stem.requires_grad_(False)
    net(mg.ones(IMAGES)).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == [
        "stem.0.conv.weight",
        "stem.0.bn.weight",
        "stem.0.bn.bias",
    ]


def test_to_changes_real_numbers_in_place_and_leaves_counts() -> None:
    net = Net()
    net(mg.ones(IMAGES)).sum().backward()
    before = [id(p) for p in net.parameters()]
    assert net.to(device="cpu", dtype="float64") is net
    assert [id(p) for p in net.parameters()] == before
    dtypes = {name: x.dtype.name for name, x in net.state_dict().items()}
    assert dtypes.pop("stem.0.bn.num_batches_tracked") == "int64"
    assert set(dtypes.values()) == {"float64"}
    assert all(p.grad is not None and p.grad.dtype == np.float64 for p in net.parameters())
    assert net(mg.ones(IMAGES, dtype="float64")).dtype == np.float64


def test_to_refuses_a_dtype_without_fractions() -> None:
    with pytest.raises(mg.DTypeError, match="cannot become 'int32'"):
        Net().to(dtype="int32")


def test_apply_visits_parts_before_the_whole() -> None:
    visited: list[str] = []
    Net().apply(lambda module: visited.append(type(module).__name__))
    assert visited == ["Conv2d", "BatchNorm2d", "Block", "ReLU", "Sequential", "Linear", "Net"]


def test_repr_nests() -> None:
    assert repr(Net()) == (
        "Net(\n"
        "  (stem): Sequential(\n"
        "    (0): Block(\n"
        "      (conv): Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), bias=False)\n"
        "      (bn): BatchNorm2d(4, eps=1e-05, momentum=0.1)\n"
        "    )\n"
        "    (1): ReLU()\n"
        "  )\n"
        "  (fc): Linear(in_features=4, out_features=2, bias=True)\n"
        ")"
    )


def test_parameters_and_buffers_say_what_they_are() -> None:
    assert repr(nn.Parameter([1.0])) == "Parameter(tensor([1.], requires_grad=True))"
    assert repr(nn.Buffer([1])) == "Buffer(tensor([1]))"


def test_a_parameter_is_not_replaced_by_a_mere_tensor() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(
        TypeError, match=r"Linear\.weight is a Parameter and a Tensor would take its place: .*weight\[\.\.\.\]"
    ):
        layer.weight = mg.zeros((2, 2))  # type: ignore[assignment]
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_has_the_same_values_in_memory_of_its_own(duplicate: Any) -> None:
    net = Net()
    net(mg.ones(IMAGES)).sum().backward()
    other = duplicate(net)
    for (name, x), (other_name, y) in zip(net.state_dict().items(), other.state_dict().items(), strict=True):
        assert name == other_name and np.array_equal(x.numpy(), y.numpy())
        assert not np.shares_memory(x.numpy(), y.numpy())
    assert [type(p) for p in other.parameters()] == [nn.Parameter] * 6
    assert all(p.requires_grad and p.grad is None for p in other.parameters())


# Containers


def test_sequential_is_a_sequence() -> None:
    first, second, third = nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 3)
    net = nn.Sequential(first, second).append(third)
    assert len(net) == 3 and list(net) == [first, second, third]
    assert net[0] is first and net[-1] is third
    assert list(net[1:]) == [second, third] and isinstance(net[1:], nn.Sequential)
    assert [name for name, _ in net[1:].named_children()] == ["1", "2"]
    with pytest.raises(IndexError, match="Sequential has 3 modules, there is none at 3"):
        net[3]


def test_appending_to_a_slice_replaces_nothing() -> None:
    net = nn.Sequential(nn.ReLU(), nn.ReLU(), nn.ReLU())[1:]
    net.append(nn.Identity())
    assert [type(m).__name__ for m in net] == ["ReLU", "ReLU", "Identity"]


def test_sequential_takes_names() -> None:
    net = nn.Sequential({"conv": nn.Conv2d(3, 4, 1), "relu": nn.ReLU()})
    assert list(net.state_dict()) == ["conv.weight", "conv.bias"]
    assert net(mg.ones(IMAGES)).shape == (2, 4, 5, 5)


def test_containers_refuse_what_is_no_module() -> None:
    with pytest.raises(mg.MinigradError, match="Sequential: '1' must be a Module, got <function"):
        nn.Sequential(nn.ReLU(), lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(mg.MinigradError, match="ModuleList: '0' must be a Module, got 3"):
        nn.ModuleList([3])  # type: ignore[list-item]


def test_module_list_owns_its_modules() -> None:
    heads = nn.ModuleList(nn.Linear(2, n) for n in (1, 2))
    assert list(heads.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    with pytest.raises(NotImplementedError, match="ModuleList states no forward"):
        heads(mg.ones((1, 2)))


# Hooks and the path of the running module


def test_a_forward_hook_sees_inputs_and_output_until_it_is_removed() -> None:
    net, seen = Net(), []
    handle = net.fc.register_forward_hook(lambda module, inputs, output: seen.append((module, inputs, output)))
    y = net(mg.ones(IMAGES))
    ((module, inputs, output),) = seen
    assert module is net.fc and inputs[0].shape == (2, 4) and output is y
    handle.remove()
    net(mg.ones(IMAGES))
    assert len(seen) == 1


def test_a_forward_hook_may_change_the_output() -> None:
    layer = nn.Identity()
    with layer.register_forward_hook(lambda module, inputs, output: output * 2.0):
        assert layer(mg.ones(1)).tolist() == [2.0]
    assert layer(mg.ones(1)).tolist() == [1.0]


def test_hooks_run_in_the_order_of_registration() -> None:
    layer, order = nn.Identity(), []
    first = layer.register_forward_hook(lambda *_: order.append(1))
    layer.register_forward_hook(lambda *_: order.append(2))
    first.remove()
    layer.register_forward_hook(lambda *_: order.append(3))
    layer(mg.ones(1))
    assert order == [2, 3]


class Probe(nn.Module):
    """Notes the path of the running module."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        self.paths.append(nn.module_path(nn.running_modules()))
        return x


def test_the_running_module_knows_its_path() -> None:
    probe = Probe()
    nn.Sequential({"branch": nn.Sequential(nn.ReLU(), probe)})(mg.ones(1))
    probe(mg.ones(1))
    assert probe.paths == ["branch.1", ""]
    assert nn.running_modules() == ()


def test_the_path_goes_through_the_caller_that_owns_the_module() -> None:
    probe = Probe()

    class Caller(nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return probe(x)

    class Outer(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.Sequential(probe)
            self.caller = Caller()

        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return self.caller(self.inner[0](x))

    Outer()(mg.ones(1))
    nn.Sequential(Caller())(mg.ones(1))
    assert probe.paths == ["inner.0", "inner.0", "0.Probe"]


def test_an_error_says_in_which_module_it_happened() -> None:
    net = Net()
    with pytest.raises(mg.ShapeError) as caught:
        net(mg.ones((2, 3, 2, 2)))
    assert caught.value.__notes__ == [
        "in module stem.0.conv: Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), bias=False)"
    ]
    assert nn.running_modules() == ()
