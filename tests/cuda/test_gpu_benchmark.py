"""The script that runs everything that needs a GPU, as far as that goes without one."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu, layers
from claims.variants import without_compiler
from minigrad.device import obstacle
from minigrad.kernels import concat
from minigrad.kernels.concat import ConcatProblem

TINY = ["--device", "emulated", "--tiny"]


def states(out: Path) -> dict[str, str]:
    return {
        name: state["status"] for name, state in json.loads((out / "results.json").read_text())["parts"].items()
    }


@pytest.mark.lengthy
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
    rows = json.loads((tmp_path / "layers.json").read_text())["rows"]
    assert {row["operation"].split("_")[0] for row in rows} == {"conv2d", "batch", "max", "concat"}
    assert all((row["verdict"], row["median_ms"]) == ("right", None) for row in rows)
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
def test_a_wrong_kernel_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    chosen = concat.forward.select(ConcatProblem(((1, 2, 3, 3), (1, 2, 3, 3)), 1), "emulated").name
    variant = concat.forward.variants[chosen]

    def wrong(*arguments: Any) -> Any:
        return variant.function(*arguments) + np.float32(1)

    monkeypatch.setitem(concat.forward.variants, chosen, replace(variant, function=wrong))
    concat.forward._selected.clear()
    arguments = [*TINY, "--operations", "concat", "--json", str(tmp_path / "rows.json")]
    assert layers.main(arguments) == 1
    concat.forward._selected.clear()
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert {row["verdict"] for row in rows} == {"wrong"}
    assert f"{len(rows)} rows are wrong" in capsys.readouterr().err
