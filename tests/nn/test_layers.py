"""Each layer is PyTorch's: the same names, the same repr, the same outputs with the same weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn

# Sums of at most some hundred float64 products in another order.
TOLERANCE = 1e-12

IMAGES = (2, 6, 9, 7)
VECTORS = (5, 6)

LAYERS: list[tuple[str, Callable[[Any], Any], tuple[int, ...]]] = [
    ("conv", lambda nn: nn.Conv2d(6, 4, 3), IMAGES),
    ("conv_all", lambda nn: nn.Conv2d(6, 4, (3, 2), (2, 1), (1, 2), (1, 2), 2, False), IMAGES),
    ("conv_same", lambda nn: nn.Conv2d(6, 4, (3, 2), padding="same"), IMAGES),
    ("conv_transpose", lambda nn: nn.ConvTranspose2d(6, 4, 3), IMAGES),
    ("conv_transpose_all", lambda nn: nn.ConvTranspose2d(6, 4, 3, 2, 1, (1, 0), 2, False, 2), IMAGES),
    ("batch_norm", lambda nn: nn.BatchNorm2d(6, eps=1e-3), IMAGES),
    ("batch_norm_cumulative", lambda nn: nn.BatchNorm2d(6, momentum=None), IMAGES),
    ("batch_norm_plain", lambda nn: nn.BatchNorm2d(6, affine=False, track_running_stats=False), IMAGES),
    ("local_response_norm", lambda nn: nn.LocalResponseNorm(3, 0.1, 0.5, 2.0), IMAGES),
    ("linear", lambda nn: nn.Linear(6, 4), VECTORS),
    ("linear_without_bias", lambda nn: nn.Linear(6, 4, bias=False), VECTORS),
    ("max_pool", lambda nn: nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGES),
    ("avg_pool", lambda nn: nn.AvgPool2d(3, 2, 1, True, False), IMAGES),
    ("avg_pool_divisor", lambda nn: nn.AvgPool2d((3, 2), divisor_override=4), IMAGES),
    ("adaptive_avg_pool", lambda nn: nn.AdaptiveAvgPool2d((4, None)), IMAGES),
    ("relu", lambda nn: nn.ReLU(), IMAGES),
    ("identity", lambda nn: nn.Identity(), IMAGES),
    ("flatten", lambda nn: nn.Flatten(), IMAGES),
    ("nested", lambda nn: nn.Sequential(nn.Conv2d(6, 3, 1), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())), IMAGES),
]


# PyTorch's batch norm also says what is as usual, and its padding=same lacks the quotes.
READING_ALIKE = [c for c in LAYERS if "batch_norm" not in c[0] and c[0] not in ("nested", "conv_same")]


def _id(case: tuple[str, Any, Any]) -> str:
    return case[0]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("case", LAYERS, ids=_id)
def test_layer_computes_what_pytorch_computes(case: tuple[str, Callable[[Any], Any], tuple[int, ...]]) -> None:
    _, make, shape = case
    theirs = make(torch.nn).double()
    ours = make(nn).to(dtype="float64")
    ours.load_state_dict(theirs.state_dict())
    generator = np.random.default_rng(0)
    for training in (True, True, False):  # twice: running statistics move from where they are
        ours.train(training)
        theirs.train(training)
        x = generator.standard_normal(shape)
        ours.zero_grad()
        theirs.zero_grad()
        y, expected = ours(mg.tensor(x)), theirs(torch.tensor(x))
        np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE)
        if y.requires_grad:
            y.sum().backward()
            expected.sum().backward()
            for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
                np.testing.assert_allclose(
                    p.grad.numpy(), q.grad.numpy(), rtol=TOLERANCE, atol=TOLERANCE, err_msg=name
                )
        for (name, b), c in zip(ours.named_buffers(), theirs.buffers(), strict=True):
            np.testing.assert_allclose(b.numpy(), c.numpy(), rtol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("case", LAYERS, ids=_id)
def test_layer_has_pytorchs_names_shapes_and_dtypes(
    case: tuple[str, Callable[[Any], Any], tuple[int, ...]],
) -> None:
    ours, theirs = case[1](nn).state_dict(), case[1](torch.nn).state_dict()
    described = [(name, x.shape, str(x.dtype)) for name, x in ours.items()]
    assert described == [(name, tuple(x.shape), str(x.dtype)[6:]) for name, x in theirs.items()]


@pytest.mark.parametrize("case", READING_ALIKE, ids=_id)
def test_layer_reads_as_in_pytorch(case: tuple[str, Callable[[Any], Any], tuple[int, ...]]) -> None:
    assert repr(case[1](nn)) == repr(case[1](torch.nn))


def test_fused_activation_equals_relu_after_the_norm() -> None:
    x = mg.randn((2, 3, 4, 4), dtype=np.float64)
    fused = nn.BatchNorm2d(3, activation="relu").to(dtype="float64")
    plain = nn.BatchNorm2d(3).to(dtype="float64")
    np.testing.assert_allclose(fused(x).numpy(), np.maximum(plain(x).numpy(), 0), rtol=TOLERANCE)


def test_dropout_drops_in_training_and_not_in_evaluation() -> None:
    x = mg.ones((100, 100))
    layer = nn.Dropout(0.3, generator=mg.Generator(1))
    dropped = layer(x).numpy()
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((dropped == 0).mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / x.size)  # four standard deviations
    assert np.array_equal(layer.eval()(x).numpy(), x.numpy())


def test_losses_are_pytorchs() -> None:
    logits = np.random.default_rng(0).standard_normal((5, 4))
    labels = np.array([0, 3, -100, 1, 2])
    options: dict[str, Any] = {"label_smoothing": 0.1, "reduction": "sum"}
    ours = nn.CrossEntropyLoss(**options)(mg.tensor(logits), mg.tensor(labels)).item()
    theirs = torch.nn.CrossEntropyLoss(**options)(torch.tensor(logits), torch.tensor(labels)).item()
    assert ours == pytest.approx(theirs, rel=TOLERANCE)
    target = np.zeros((5, 4))
    ours = nn.MSELoss()(mg.tensor(logits), mg.tensor(target)).item()
    assert ours == pytest.approx(
        torch.nn.MSELoss()(torch.tensor(logits), torch.tensor(target)).item(), rel=TOLERANCE
    )


def half(channels: int) -> Any:
    return channels / 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(0, 4, 3), "Conv2d: in_channels must be an integer of at least 1, got 0"),
        (lambda: nn.Conv2d(3, half(8), 3), "Conv2d: out_channels must be an integer of at least 1, got 4.0"),
        (lambda: nn.Conv2d(3, 4, (3, 0)), r"Conv2d: kernel_size must .* got \(3, 0\)"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), "Conv2d: padding must .* got -1"),
        (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), "Conv2d: padding must .* got 'same' with stride"),
        (lambda: nn.Conv2d(4, 6, 3, groups=3), "Conv2d: groups=3 must divide in_channels=4"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, groups=4), "ConvTranspose2d: groups=4 must divide out_channels=6"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, output_padding=1), r"output_padding \(1, 1\) must be smaller"),
        (lambda: nn.BatchNorm2d(-3), "BatchNorm2d: num_features must be an integer of at least 1, got -3"),
        (lambda: nn.BatchNorm2d(3, eps=-1), "BatchNorm2d: eps must be a number, at least 0, got -1"),
        (lambda: nn.BatchNorm2d(3, momentum=1.5), "BatchNorm2d: momentum must be a number, from 0 to 1, got 1.5"),
        (lambda: nn.BatchNorm2d(3, activation="tanh"), "BatchNorm2d: activation must be .* got 'tanh'"),
        (lambda: nn.Linear(3, True), "Linear: out_features must be an integer of at least 1, got True"),
        (lambda: nn.MaxPool2d(3, padding=2), "MaxPool2d: padding 2 must be at most half of the kernel size 3"),
        (lambda: nn.AvgPool2d(3, stride=0), "AvgPool2d: stride must .* got 0"),
        (lambda: nn.AvgPool2d(3, divisor_override=0), "AvgPool2d: divisor_override must not be zero"),
        (lambda: nn.AdaptiveAvgPool2d((4, 0)), r"AdaptiveAvgPool2d: output_size must .* got \(4, 0\)"),
        (lambda: nn.Dropout(1.5), "Dropout: p must be a number, from 0 to 1, got 1.5"),
        (lambda: nn.Dropout(float("nan")), "Dropout: p must be a number, from 0 to 1, got nan"),
        (lambda: nn.LocalResponseNorm(0), "LocalResponseNorm: size must be an integer of at least 1, got 0"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2), "CrossEntropyLoss: label_smoothing must .* got 2"),
    ],
)
def test_an_impossible_layer_is_refused_where_it_is_written(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(mg.MinigradError, match=message):
        make()
