"""`minigrad bench`: which rows it gives, what it keeps, and how it tells what has no meaning."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from claims.commands import Run, assert_fails
from claims.variants import without_compiler
from minigrad.cli import main
from minigrad.kernels import conv2d
from minigrad.workbench import rows, session
from minigrad.workbench.environment import environment
from minigrad.workbench.layers import traced_layers

POOL = "Pool2dProblem(shape=(2, 3, 7, 6), kernel_size=(3, 2), stride=(2, 2))"
QUICK = ("--problem", POOL, "--odd", 2, "--seconds", 0, "--seed", 1)


def rows_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return found


def test_a_row_has_errors_times_rates_and_what_they_are_compared_with(minigrad: Run, tmp_path: Path) -> None:
    result = minigrad("bench", "max_pool2d_forward", *QUICK, "--json", "rows.json")
    assert result.status == 0, result.err
    rows = [row for row in rows_of(tmp_path / "rows.json") if row["bytes_moved"]]
    assert [row["variant"] for row in rows] == ["reference", "channels_last", "PyTorch"]
    _, ours, torch = rows
    assert ours["problem"].startswith("Pool2dProblem(shape=(2, 3, 7, 6)")
    assert (ours["norm_error"], ours["tolerance_used"]) == (0, 0)
    assert 0 < ours["p20_ms"] <= ours["median_ms"] <= ours["p80_ms"]
    assert ours["rounds"] == 5
    # 2*3*3*3 windows of 6 elements; x and y of 4 bytes, indices of one.
    assert (ours["work"], ours["bytes_moved"]) == (54 * 6, 4 * 252 + 4 * 54 + 54)
    assert ours["side"] == "bytes"
    assert ours["roofline"] > 0
    assert ours["over_reference"] == pytest.approx(rows[0]["median_ms"] / ours["median_ms"])
    assert ours["over_pytorch"] == pytest.approx(torch["median_ms"] / ours["median_ms"])
    assert torch["verdict"] == "yardstick"
    assert "fastest" in {row["standing"] for row in rows}


def test_the_file_says_where_and_how_it_was_measured(minigrad: Run, tmp_path: Path) -> None:
    minigrad("bench", "max_pool2d_forward", *QUICK, "--json", "rows.json")
    content = json.loads((tmp_path / "rows.json").read_text())
    stamp = content["environment"]
    assert {"processor", "gpu", "threads", "versions", "commit", "date", "command"} <= stamp.keys()
    assert content["settings"]["seed"] == 1
    assert content["ceilings"]["bandwidth"] > 1e8
    assert content["ceilings"]["peak"] > 1e8


def test_the_command_in_the_file_names_no_folder_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["minigrad", "bench", "conv2d", "--json", str(tmp_path / "rows.json")])
    assert str(environment(1)["command"]).endswith(" bench conv2d --json rows.json")


def test_the_same_seed_gives_the_same_errors(minigrad: Run, tmp_path: Path) -> None:
    problem = "Conv2dProblem(1, 3, (7, 6), 4, (3, 3))"
    errors = []
    for name in ("a.json", "b.json"):
        options = ("--problem", problem, "--variants", "direct", "--odd", 2, "--seconds", 0, "--seed", 5)
        minigrad("bench", "conv2d_forward", *options, "--json", name)
        errors.append([row["largest_error"] for row in rows_of(tmp_path / name)])
    assert errors[0] == errors[1]


@without_compiler
def test_the_emulator_gives_counts_and_says_that_there_are_no_times(minigrad: Run, tmp_path: Path) -> None:
    result = minigrad("bench", "max_pool2d_forward", *QUICK, "--device", "emulated", "--json", "rows.json")
    assert result.status == 0, result.err
    assert "so there are no times" in result.out
    rows = [row for row in rows_of(tmp_path / "rows.json") if row["bytes_moved"]]
    assert {row["median_ms"] for row in rows} == {None}
    assert any("blocks of" in launch for row in rows for launch in row["launches"])
    (counts,) = (row["counts"] for row in rows if row["launches"])
    # Each of the 2x3x3x3 results is a float and a one-byte index; windows of 6 elements, cut at the edge.
    assert counts["bytes_stored"] == 54 * (4 + 1)
    assert 4 * 252 <= counts["bytes_loaded"] <= 4 * 54 * 6
    assert (counts["barriers"], counts["atomics"], counts["tensor_operations"]) == (0, 0, 0)
    assert "MB loaded" in result.out


def test_layers_are_those_of_the_model(minigrad: Run, tmp_path: Path) -> None:
    result = minigrad(
        "bench", "concat", "--size", 32, "--batch", 1, "--layers", "inception5b", "--odd", 0, "--seconds", 0,
        "--json", "rows.json",
    )  # fmt: skip
    assert result.status == 0, result.err
    (shape,) = {row["layer"] for row in rows_of(tmp_path / "rows.json")}
    assert shape == "(384+384+128+128)x1x1  (inception5b)"


def test_an_interrupted_run_keeps_what_it_measured(
    minigrad: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, calls = session.Session._layer_rows, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(session.Session, "_layer_rows", interrupted)
    two = ("--problem", POOL, "--problem", POOL.replace("7, 6", "9, 9"), "--odd", 0, "--seconds", 0)
    result = minigrad("bench", "max_pool2d_forward", *two, "--json", "rows.json")
    assert result.status == 130
    assert result.err.splitlines()[-1] == "minigrad: interrupted after 3 rows; 3 rows are in rows.json"
    assert len(rows_of(tmp_path / "rows.json")) == 3


def test_rows_are_kept_where_the_interrupt_comes_as_they_are_written(
    minigrad: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = rows.save, []

    def interrupted(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        save(*arguments)

    monkeypatch.setattr(rows, "save", interrupted)
    result = minigrad("bench", "max_pool2d_forward", *QUICK, "--json", "rows.json")
    assert result.status == 130
    assert result.err.splitlines()[-1] == "minigrad: interrupted after 2 rows; 2 rows are in rows.json"
    assert len(rows_of(tmp_path / "rows.json")) == 2


def test_a_wrong_variant_is_told_with_problem_and_index(minigrad: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    right = conv2d.forward.variants["reference"].function

    def wrong(problem: Any, *arrays: Any) -> Any:
        y = right(problem, *arrays)
        y[0, 1, 2, 3] += 1
        return y

    monkeypatch.setattr(conv2d.forward, "variants", dict(conv2d.forward.variants))
    conv2d.forward.variant("off", device="cpu")(wrong)
    problem = "Conv2dProblem(1, 3, (7, 6), 4, (3, 3))"
    result = minigrad("bench", "conv2d_forward", "--problem", problem, "--odd", 0, "--seconds", 0)
    assert_fails(result, "wrong: conv2d_forward=off")
    (line,) = (line for line in result.out.splitlines() if "WRONG" in line)
    assert "off  WRONG: on Conv2dProblem(batch=1, in_channels=3" in line
    assert "y[0, 1, 2, 3] is" in line
    assert "off by 1;" in line


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_picture_is_drawn(minigrad: Run, tmp_path: Path, suffix: str) -> None:
    result = minigrad("bench", "max_pool2d_forward", *QUICK, "--plot", f"rows.{suffix}")
    assert f"drawn: rows.{suffix}" in result.out
    beginning = (tmp_path / f"rows.{suffix}").read_bytes()[:40]
    assert beginning.startswith(b"\x89PNG" if suffix == "png" else b"<?xml")


def test_layers_that_no_training_can_run_are_left_out() -> None:
    """Of one image of 32 pixels the last modules' channels have one value: its variance says nothing."""
    operations = "batch_norm_backward_training", "batch_norm_move_statistics", "batch_norm_forward_evaluation"
    found = {layer.operation: layer.problem.count for layer in traced_layers("googlenet", 1, 32, "float32")
             if layer.operation in operations and layer.paths[-1].startswith("inception5")}  # fmt: skip
    assert found == {"batch_norm_forward_evaluation": 1}


@pytest.mark.parametrize(
    ("options", "phrases", "status"),
    [
        (["conv3d"], ["there is no operation 'conv3d'", "conv2d_forward"], 1),
        (["concat", "--variants", "fast"], ["concat has no variant fast on cpu", "channels_last"], 1),
        (["concat", "--layers", "5b.join", "--size", "32"], ["'5b.join'", "the nearest are: inception5b"], 1),
        (["batch_norm_forward_training", "--layers", "inception5b", "--size", "32", "--batch", "1"],
         ["with --batch 1 and --size 32 nothing is left", "BatchNormProblem(", "no unbiased variance"], 1),
        (["conv2d_forward", "--variants", "winograd", "pointwise", "--layers", "conv1", "--odd", "0",
          "--size", "32"], ["no variant ran: pointwise refuses Conv2dProblem(", "winograd refuses it: "], 1),
        (["concat", "--model", "plain"], ["--model 'plain'", "googlenet-paper"], 2),
        (["batch_norm", "--model", "googlenet-paper", "--size", "64"], ["does not run", "--problem"], 1),
        (["concat", "--batch", "0"], ["--batch must be at least 1"], 2),
        (["concat", "--seconds", "nan"], ["--seconds must be a number from 0 on, not nan"], 2),
        (["concat", "--size", "3"], ["--size 3 is too small"], 2),
        (["concat", "--json", "no/rows.json"], ["--json: there is no folder no"], 2),
        (["concat", "--json", "/proc/rows.json"], ["--json /proc/rows.json: "], 2),
        (["concat", "--plot", "/proc/rows.svg"], ["--plot /proc/rows.svg: "], 2),
        (["concat", "--json", "."], ["--json .: it is a folder"], 2),
        (["sgd_step", "--problem", "SgdStep(parameters=5)"], ["--problem 'SgdStep(parameters=5)'"], 1),
        (["sgd_step", "--problem", "SgdStep(parameters='none')"], ["there is no model 'none'"], 1),
        (["sgd_step", "--problem", "SgdStep(parameters=())"], ["at least one parameter"], 1),
        (["sgd_step", "--problem", "SgdStep(parameters=[[3]])"], ["--problem 'SgdStep(parameters=[[3]])'"], 1),
        (["concat", "--plot", "rows.pdf"], ["--plot rows.pdf", ".png or .svg"], 2),
        (["concat", "--problem", POOL], ["--problem: concat takes no Pool2dProblem"], 2),
        (["conv2d_forward", "--problem", "Conv2dProblem(1, 3"], ["--problem 'Conv2dProblem(1, 3'"], 1),
        (["conv2d_forward", "--problem", "print(1)"], ["it must begin with one of", "Conv2dProblem"], 1),
        (["conv2d_forward", "--problem", "Conv2dProblem(1, 3, (2, 2), 4, (5, 5))"], ["does not fit"], 1),
        (
            ["conv2d_forward", "--variants", "winograd", "--problem", "Conv2dProblem(1, 3, (9, 9), 4, (5, 5))",
             "--odd", "0"],
            ["no variant ran", "winograd refuses Conv2dProblem(batch=1"],
            1,
        ),
        (["batch_norm_backward", "--problem", "BatchNormProblem((1, 3, 1, 1))"], ["a channel of one value"], 2),
        (["compare", "a.json"], ["compare takes two files"], 2),
        (["compare", "a.json", "b.json"], ["a.json", "No such file"], 1),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_told_in_a_line(
    minigrad: Run, options: list[str], phrases: list[str], status: int
) -> None:
    assert_fails(minigrad("bench", *options), *phrases, status=status)


def test_a_picture_does_not_take_the_place_of_what_is_no_file(minigrad: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    assert_fails(minigrad("bench", "concat", "--plot", pipe), f"--plot {pipe}: it is a device or pipe", status=2)
    assert pipe.is_fifo()


def test_rows_go_to_standard_output_alone(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "max_pool2d_forward", *map(str, QUICK), "--json", "/dev/stdout"]) == 0
    out, err = capfd.readouterr()
    assert [row["variant"] for row in json.loads(out)["rows"]][-1] == "PyTorch"
    assert "measured ceilings" in err


def test_a_gpu_that_is_not_there(minigrad: Run) -> None:
    import minigrad.device as device
    from minigrad.kernels.errors import MinigradError

    try:
        device.library("cuda")
    except MinigradError as error:
        assert_fails(minigrad("bench", "concat", "--device", "cuda"), str(error))
    else:
        pytest.skip("there is a GPU")
