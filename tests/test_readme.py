"""What the README shows is what happens."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from minigrad.cli import main

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
