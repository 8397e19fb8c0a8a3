"""What both GoogLeNets are and return; that they compute what PyTorch computes is tested in tests/parity."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import models
from minigrad.models.googlenet_paper import PaperAux
from minigrad.nn import BatchNorm2d, Conv2d, Linear, LocalResponseNorm, Module

# The classes themselves, with weights that nobody waits to be drawn twice.
GOOGLENET = models.build("googlenet", num_classes=10, init_weights=False)
PAPER = models.build("googlenet-paper", num_classes=10, init_weights=False)


def count(model: Module) -> int:
    return sum(parameter.size for parameter in model.parameters())


@pytest.mark.parametrize(("aux_logits", "parameters"), [(True, 13_004_888), (False, 6_624_904)])
def test_torchvision_has_as_many_parameters(aux_logits: bool, parameters: int) -> None:
    assert count(models.GoogLeNet(aux_logits=aux_logits, init_weights=False)) == parameters


def test_the_state_has_torchvisions_names_in_its_order() -> None:
    names = list(GOOGLENET.state_dict())
    assert len(names) == 364
    unit = ["conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"]
    units = ["conv1", "conv2", "conv3"]
    for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        branches = ["branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1"]
        units += [f"inception{module}.{branch}" for branch in branches]
    expected = [f"{name}.{part}" for name in units for part in unit]
    for head in ("aux1", "aux2"):
        expected += [f"{head}.conv.{part}" for part in unit]
        expected += [f"{head}.{layer}.{part}" for layer in ("fc1", "fc2") for part in ("weight", "bias")]
    assert names == [*expected, "fc.weight", "fc.bias"]


def test_the_papers_network_has_biases_and_no_batch_norm() -> None:
    kinds = [type(module) for module in PAPER.modules()]
    assert BatchNorm2d not in kinds
    assert kinds.count(LocalResponseNorm) == 2
    assert all(module.bias is not None for module in PAPER.modules() if isinstance(module, Conv2d))
    assert [PAPER.norm1.size, PAPER.norm1.alpha, PAPER.norm1.beta] == [5, 1e-4, 0.75]


@pytest.mark.parametrize(("model", "size"), [(GOOGLENET, 3), (PAPER, 5)])
def test_filters_of_the_third_branch(model: Module, size: int) -> None:
    filters = [p.shape[2:] for name, p in model.named_parameters() if name.endswith("branch3.1.conv.weight")]
    assert filters == [(size, size)] * 9


@pytest.mark.parametrize("model", [GOOGLENET, PAPER], ids=["googlenet", "googlenet-paper"])
def test_training_gives_three_logits_and_evaluation_one(model: Module) -> None:
    images = mg.randn((2, 3, 64, 64))
    outputs = model.train()(images)
    assert outputs._fields == ("logits", "aux_logits2", "aux_logits1")
    assert [logits.shape for logits in outputs] == [(2, 10)] * 3
    assert model.eval()(images).shape == (2, 10)


def test_without_auxiliary_heads_training_gives_the_logits() -> None:
    model = models.GoogLeNet(10, aux_logits=False, init_weights=False)
    assert not any(name.startswith("aux") for name in model.state_dict())
    assert model(mg.randn((2, 3, 32, 32))).shape == (2, 10)


@pytest.mark.parametrize(("head", "tap"), [("aux1", "inception4a"), ("aux2", "inception4d")])
def test_auxiliary_heads_hang_on_4a_and_4d(head: str, tap: str) -> None:
    seen = {}
    names = dict(GOOGLENET.named_modules())
    with (
        names[tap].register_forward_hook(lambda module, inputs, output: seen.update(tap=output)),
        names[head].register_forward_hook(lambda module, inputs, output: seen.update(input=inputs[0], out=output)),
    ):
        outputs = GOOGLENET.train()(mg.randn((2, 3, 32, 32)))
    assert seen["input"] is seen["tap"]
    assert seen["out"] is getattr(outputs, f"{head[:3]}_logits{head[3:]}")


@pytest.mark.parametrize("model", [GOOGLENET, PAPER], ids=["googlenet", "googlenet-paper"])
def test_the_smallest_image_is_the_one_that_the_pools_allow(model: models.GoogLeNet) -> None:
    least = model.minimum_size
    model.eval()
    assert model(mg.zeros((1, 3, least, least + 7))).shape == (1, 10)
    with pytest.raises(mg.ShapeError, match=f"{least + 7}x{least - 1} pixels .* at least {least}x{least}"):
        model(mg.zeros((1, 3, least + 7, least - 1)))
    model.minimum_size = 1  # what the check stands for: a pool that does not fit
    try:
        with pytest.raises(mg.ShapeError, match="window"):
            model(mg.zeros((1, 3, least - 1, least - 1)))
    finally:
        del model.minimum_size


@pytest.mark.parametrize("model", [GOOGLENET, PAPER], ids=["googlenet", "googlenet-paper"])
def test_no_images_give_no_logits(model: models.GoogLeNet) -> None:
    with mg.no_grad():
        assert model.eval()(mg.zeros((0, 3, 64, 64))).shape == (0, 10)


@pytest.mark.parametrize("shape", [(2, 1, 64, 64), (2, 4, 64, 64), (3, 64, 64), (64, 64), (2, 64, 64, 3)])
def test_images_must_have_three_channels_and_a_batch(shape: tuple[int, ...]) -> None:
    with pytest.raises(mg.ShapeError, match=r"images must be \(N, 3, H, W\)"):
        GOOGLENET(mg.zeros(shape))


@pytest.mark.parametrize("classes", [0, -1, 2.5])
def test_the_number_of_classes_must_be_a_positive_integer(classes: object) -> None:
    with pytest.raises(mg.ShapeError, match="GoogLeNet: num_classes"):
        models.GoogLeNet(classes)  # type: ignore[arg-type]


def test_the_papers_heads_pool_5x5_with_stride_3_where_that_makes_4x4() -> None:
    head = PaperAux(8, 10)
    for size in (14, 15, 16):
        x = mg.randn((1, 8, size, size))
        first = x.numpy()[:, :, 3:8, 6:11].mean((2, 3))  # window (1, 2)
        pooled = head.pool(x).numpy()
        assert pooled.shape == (1, 8, 4, 4)
        np.testing.assert_allclose(
            pooled[:, :, 1, 2], first, rtol=0, atol=1e-6
        )  # sums of 25 float32 numbers of size 1
    for size in (2, 4, 13, 17):
        assert head.pool(mg.randn((1, 8, size, size))).shape == (1, 8, 4, 4)


def test_initial_weights_are_normal_with_deviation_one_hundredth_cut_at_two() -> None:
    mg.manual_seed(0)
    model = models.GoogLeNet(10)
    for name, module in model.named_modules():
        if isinstance(module, Conv2d | Linear):
            weight = module.weight.numpy()
            assert np.abs(weight).max() <= np.float32(0.02), name
            # A normal cut at two deviations keeps 0.8796 of its own; five standard errors around that.
            assert abs(weight.std() / 0.008796 - 1) < 5 / math.sqrt(2 * weight.size), name


def test_the_papers_initial_weights_are_caffes() -> None:
    mg.manual_seed(0)
    model = models.GoogLeNetPaper(10)
    for name, module in model.named_modules():
        if isinstance(module, Conv2d | Linear):
            weight, bias = module.weight.numpy(), module.bias.numpy()  # type: ignore[union-attr]
            bound = math.sqrt(3 / weight[0].size)
            assert np.abs(weight).max() <= np.float32(bound), name
            assert abs(weight.std() / (bound / math.sqrt(3)) - 1) < 5 / math.sqrt(weight.size), name
            assert (bias == (0 if name in ("fc", "aux1.fc2", "aux2.fc2") else np.float32(0.2))).all(), name


def test_images_of_imagenet_are_brought_to_one_half() -> None:
    pixels = np.random.default_rng(0).random((2, 3, 32, 32)).astype(np.float64)
    mean, std = (np.array(values).reshape(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    model = models.GoogLeNet(10, transform_input=True, init_weights=False).to(dtype=np.float64).eval()
    transformed = model(mg.tensor((pixels - mean) / std))
    model.transform_input = False
    plain = model(mg.tensor((pixels - 0.5) / 0.5))
    # Rounding in float64, times what the layers amplify.
    np.testing.assert_allclose(transformed.numpy(), plain.numpy(), rtol=1e-10)


def test_the_loss_weighs_auxiliary_heads_by_three_tenths() -> None:
    generator = np.random.default_rng(0)
    logits = [mg.tensor(generator.standard_normal((4, 10))) for _ in range(3)]
    labels = mg.tensor([1, 2, 3, 9])
    main, second, first = (mg.nn.functional.cross_entropy(x, labels).item() for x in logits)
    outputs = models.GoogLeNetOutputs(*logits)
    assert models.loss(outputs, labels).item() == pytest.approx(main + 0.3 * (first + second), rel=1e-14)
    assert models.loss(outputs, labels, aux_weight=1.0).item() == pytest.approx(main + first + second, rel=1e-14)
    assert models.loss(logits[0], labels).item() == main
    smooth = mg.nn.functional.cross_entropy(logits[0], labels, label_smoothing=0.1).item()
    assert models.loss(logits[0], labels, label_smoothing=0.1).item() == smooth


def test_models_are_built_by_name() -> None:
    assert type(GOOGLENET) is models.GoogLeNet
    assert type(PAPER) is models.GoogLeNetPaper
    with pytest.raises(mg.MinigradError, match="no model 'resnet'; there are: googlenet, googlenet-paper"):
        models.build("resnet")
