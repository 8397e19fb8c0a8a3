"""Runs in 16 bits learn, scale their loss so that nothing vanishes, leave out steps that overflow, and resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from claims.runs import configuration, make_training
from claims.tiny import SIDE, write_images
from minigrad.kernels import conv2d
from minigrad.kernels.conv2d import Conv2dProblem
from minigrad.kernels.errors import MinigradError
from minigrad.train.checkpoint import read_resume
from minigrad.train.config import ConfigError
from minigrad.train.loss_scaling import FIRST, GROWS_AFTER, LARGEST, LossScale
from minigrad.train.precision import computing_in, require_precision


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


def parameter(gradient: float) -> mg.Tensor:
    x = mg.zeros(3)
    x.grad = mg.asarray(np.array([1.0, gradient, -2.0], np.float32))
    return x


def test_gradients_are_divided_by_what_the_loss_was_multiplied_by() -> None:
    scale, x = LossScale(8.0), parameter(4.0)
    assert scale.scaled(mg.tensor(3.0)).item() == 24.0
    assert scale.fits([x])
    assert x.grad is not None
    assert x.grad.numpy().tolist() == [0.125, 0.5, -0.25]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_overflow_halves_the_factor_and_asks_to_leave_the_step_out(value: float) -> None:
    scale = LossScale(8.0)
    assert not scale.fits([parameter(1.0), parameter(value)])
    assert scale.factor == 4.0


def test_the_factor_doubles_after_many_good_steps_up_to_a_limit() -> None:
    scale = LossScale(LARGEST / 2)
    for expected in (LARGEST, LARGEST):
        for _ in range(GROWS_AFTER):
            assert scale.fits([parameter(1.0)])
        assert scale.factor == expected


def test_where_the_factor_is_not_the_cause_infinity_goes_through() -> None:
    scale, x = LossScale(1.0), parameter(np.inf)
    assert scale.fits([x])
    assert x.grad is not None
    assert x.grad.numpy()[1] == np.inf


@pytest.mark.parametrize("state", [{}, {"factor": "8", "steps": 0}, {"factor": 0.5, "steps": 0}, {"factor": 8.0}])
def test_a_state_that_is_none_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(MinigradError, match="no state of a loss scale"):
        LossScale().load_state_dict(state)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_run_in_16_bits_learns_what_one_in_32_does(images: Path, tmp_path: Path, precision: str) -> None:
    losses = {}
    for name in ("float32", precision):
        training = make_training(configuration(images, precision=name, epochs=3), tmp_path / name)
        if training.loss_scale:
            training.loss_scale.factor = 1024.0  # with which no step of this network overflows and is left out
        training.run()
        assert {p.dtype for p in training.model.parameters()} == {np.dtype("float32")}
        losses[name] = training.records[-1]["train_loss"]
        first = training.records[0]["train_loss"]
    assert losses[precision] < first
    # Roundings of 2**-8 and 2**-11 an operation, through a few layers and steps
    assert losses[precision] == pytest.approx(losses["float32"], rel=0.1)


def test_a_step_that_overflows_changes_no_weight(images: Path, tmp_path: Path) -> None:
    training = make_training(configuration(images, precision="float16"), tmp_path / "run")
    assert training.loss_scale is not None
    training.loss_scale.factor = LARGEST  # gradients of 2**24 times the loss overflow float16
    before = {name: p.numpy().copy() for name, p in training.model.named_parameters()}
    with np.errstate(over="ignore", invalid="ignore"):
        training.steps.make_now(np.ones((2, 3, SIDE, SIDE), np.float32), np.array([0, 1]))
    assert training.loss_scale.factor == LARGEST / 2
    for name, p in training.model.named_parameters():
        np.testing.assert_array_equal(p.numpy(), before[name])
        assert p.grad is None


def test_the_scale_is_saved_and_comes_back(images: Path, tmp_path: Path) -> None:
    training = make_training(configuration(images, precision="float16"), tmp_path / "run")
    training.run()
    saved = read_resume(tmp_path / "run/resume.safetensors")["loss_scale"]
    assert training.loss_scale is not None
    assert saved == training.loss_scale.state_dict()
    assert saved["steps"] > 0 or saved["factor"] < FIRST
    again = make_training(configuration(images, precision="float16"), tmp_path / "run")
    again.resume()
    assert again.loss_scale is not None
    assert again.loss_scale.state_dict() == saved


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_the_cpu_says_that_it_computes_in_float32(precision: str) -> None:
    with pytest.raises(ConfigError, match=f"--precision {precision} needs --device cuda or emulated"):
        require_precision(precision, "cpu")
    require_precision(precision, "emulated")
    require_precision("float32", "cpu")


def test_tf32_is_a_choice_of_kernels() -> None:
    problem = Conv2dProblem(1, 8, (6, 6), 8, (3, 3))
    names = [conv2d.forward.select(problem, "emulated").name]
    with computing_in("tf32"):
        names.append(conv2d.forward.select(problem, "emulated").name)
        assert conv2d.forward.select(problem, "cpu").device == "cpu"
    assert names == ["implicit_gemm", "implicit_gemm_tensor_core"]
