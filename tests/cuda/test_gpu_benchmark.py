"""The script that runs everything that needs a GPU, as far as that goes without one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu, gpu_layers
from benchmarks.gpu_clock import Ceilings, Clock
from claims.variants import without_compiler
from minigrad.device import obstacle
from minigrad.kernels import concat

TINY = ["--device", "emulated", "--tiny"]


def states(out: Path) -> dict[str, str]:
    return {
        name: state["status"] for name, state in json.loads((out / "results.json").read_text())["parts"].items()
    }


@pytest.mark.slow
@without_compiler
def test_every_part_runs_in_the_emulator_and_claims_no_time(tmp_path: Path, capfd: Any) -> None:
    assert gpu.main([*TINY, "--out", str(tmp_path)]) == 0, capfd.readouterr().out
    assert states(tmp_path) == {
        **dict.fromkeys(("tests", "parity", "training", "layers"), "done"),
        "counters": "skipped",
    }
    summary = (tmp_path / "summary.md").read_text()
    assert "nothing here was timed, and nothing ran on a GPU" in summary
    assert "images/s" not in summary
    layers = json.loads((tmp_path / "layers.json").read_text())["rows"]
    assert {row["kernel"].split()[0] for row in layers} == {"conv2d", "batch", "max", "concat"}
    assert all(row["error"] <= 1e-5 and row["ours"]["median_ms"] is None for row in layers)
    assert (
        json.loads((tmp_path / "parity.json").read_text())["float32"]["minigrad float32"]["worst"]["losses"] < 1e-2
    )


def test_a_part_that_fails_or_hangs_does_not_stop_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(code: str) -> list[str]:
        return [sys.executable, "-c", code]

    counted = f"open({str(tmp_path / 'runs')!r}, 'a').write('x')"
    parts = [
        gpu.Part("tests", 0.4, command("import time; time.sleep(60)")),
        gpu.Part("parity", 60, command("raise SystemExit('broken')")),
        gpu.Part("training", 60, ["no-such-program"]),
        gpu.Part("layers", 60, command(counted)),
    ]
    monkeypatch.setattr(gpu, "parts", lambda options: parts)
    monkeypatch.setattr(gpu, "UNHURRIED", 1)
    for _ in range(2):  # the second time, what is done is left alone
        assert gpu.main([*TINY, "--out", str(tmp_path)]) == 1
        expected = {"tests": "time ran out", "parity": "failed", "training": "skipped", "layers": "done"}
        assert states(tmp_path) == expected
    assert (tmp_path / "runs").read_text() == "x"
    assert "broken" in (tmp_path / "log.txt").read_text()
    assert gpu.main([*TINY, "--out", str(tmp_path), "--again", "--only", "layers"]) == 0
    assert (tmp_path / "runs").read_text() == "xx"


@pytest.mark.skipif(obstacle("cuda") is None, reason="a GPU answers here")
def test_without_a_gpu_one_line_says_what_is_missing(tmp_path: Path, capsys: Any) -> None:
    assert gpu.main(["--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("benchmarks.gpu: device 'cuda': ")
    assert not (tmp_path / "out").exists()


@without_compiler
def test_a_wrong_kernel_is_not_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    right = type(concat.forward).__call__

    def wrong(operation: Any, problem: Any, *arrays: Any) -> Any:
        return right(operation, problem, *arrays) + np.float32(operation.name == "concat")

    monkeypatch.setattr(type(concat.forward), "__call__", wrong)
    arguments = [*TINY, "--kernels", "concat", "--json", str(tmp_path / "rows.json")]
    assert gpu_layers.main(arguments) == 1
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert all("beside PyTorch is above" in row["failed"] and "ours" not in row for row in rows)


def test_shares_are_of_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.gpu_clock import Timing

    case = gpu_layers.Case("k", "l", 1, "v", lambda: 0, lambda: 0, moved=3 * 10**9, work=2 * 10**12)
    clock = Clock("cpu")
    monkeypatch.setattr(gpu_layers, "error_of", lambda case: 0.0)
    monkeypatch.setattr(clock, "time", lambda *functions: [Timing(2.0, 1.0, 3.0, 9), Timing(3.0, 1.0, 3.0, 9)])
    row = gpu_layers.measure(case, clock, Ceilings(3e12, 4e15), 1e-3)
    expected = {"ratio": 1.5, "gb_per_s": 1500, "tflops": 1000, "share_of_copy": 0.5, "share_of_product": 0.25}
    assert {name: row[name] for name in expected} == pytest.approx(expected)
