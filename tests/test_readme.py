"""What the README shows is what happens."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import minigrad as mg
from benchmarks.machines import markdown
from minigrad.cli import main
from minigrad.kernels import conv2d

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_ci_runs_the_test_command_word_for_word() -> None:
    command = next(block.strip() for block in code_blocks("sh") if "pytest" in block)
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_engine_example_runs() -> None:
    example = code_blocks("python")[0]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(example, "README.md", "exec"), {})
    assert printed.getvalue().startswith("(4, 3, 3, 3) tensor(")


@pytest.fixture
def restored_kernels() -> Iterator[None]:
    """What a test registers is gone after it."""
    variants = dict(conv2d.forward.variants)
    yield
    conv2d.forward.variants = variants
    conv2d.forward._selected.clear()


def test_the_kernel_example_runs_and_its_variant_is_used(restored_kernels: None) -> None:
    calls = []

    def your_convolution(x: Any, weight: Any, bias: Any, stride: Any, padding: Any) -> Any:
        calls.append(x.shape)
        tensors = (None if array is None else torch.from_numpy(array) for array in (x, weight, bias))
        return torch.nn.functional.conv2d(*tensors, stride, padding).numpy()

    model, images = mg.nn.Conv2d(3, 4, 3, stride=2, padding=1), mg.rand((2, 3, 8, 8))
    names = {"mg": mg, "model": model, "images": images, "your_convolution": your_convolution}
    exec(compile(code_blocks("python")[1], "README.md", "exec"), names)
    assert calls == []
    with mg.use_kernels(conv2d_forward="mine"):
        result = model(images)
    assert calls == [(2, 3, 8, 8)]
    # Sums of 27 products of numbers below 1, in another order.
    np.testing.assert_allclose(result.numpy(), names["slow"].numpy(), rtol=1e-5, atol=1e-6)


def test_the_captured_example_runs() -> None:
    model, images = mg.nn.Sequential(mg.nn.Conv2d(3, 4, 3), mg.nn.BatchNorm2d(4)), mg.rand((2, 3, 8, 8))
    names: dict[str, Any] = {"mg": mg, "model": model, "images": images}
    exec(compile(code_blocks("python")[2], "README.md", "exec"), names)
    np.testing.assert_array_equal(names["logits"].numpy(), model(images).numpy())


def test_every_example_of_python_is_run_here() -> None:
    assert len(code_blocks("python")) == 3


def shown_commands() -> list[str]:
    lines = [line for block in code_blocks("sh") for line in block.splitlines() if line.startswith("minigrad ")]
    return [line.partition("#")[0].strip() for line in lines]


@pytest.mark.parametrize("command", sorted({line.split()[1] for line in shown_commands()}))
def test_every_command_shown_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    options = {word for line in shown_commands() if line.split()[1] == command for word in line.split()}
    assert [word for word in options if word.startswith("--") and word not in shown] == []


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []


def test_the_table_of_machines_is_what_the_committed_results_say() -> None:
    files = sorted((ROOT / "benchmarks" / "results").glob("googlenet-cpu-*.json"))
    table = markdown([json.loads(file.read_text()) for file in files])
    assert table in README
    processors = set(table.splitlines()[0].split("|")) - {"", " ", " range "}
    assert len(processors) >= 2
