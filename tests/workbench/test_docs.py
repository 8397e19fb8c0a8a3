"""The page on writing a kernel shows what happens."""

from __future__ import annotations

import re
from pathlib import Path

from claims.commands import Run
from claims.variants import without_compiler
from minigrad.kernels.registry import OPERATIONS

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-kernel.md").read_text()


def commands() -> list[tuple[list[str], str]]:
    """Each command's arguments, and what the page shows of its output."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for part in re.split(r"^\$ minigrad ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command.split(), output))
    return found


def without_measurements(text: str) -> str:
    """`text` without what differs from machine to machine: times, rates, errors, who is fastest, folders."""
    text = re.sub(r"[\w./-]*/(?=\w+\.py)", "", text)
    text = re.sub(r"\b(fastest|equal|bytes|arithmetic)\b", "", text)
    text = re.sub(r"-?\d+(\.\d+)?(e[-+]\d+)?(?=%|x\b|[\s,;]|$)", "#", text)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


@without_compiler
def test_every_command_of_the_page_prints_what_the_page_shows(
    minigrad: Run, tmp_path: Path, restored_variants: None
) -> None:
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        name = code.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(code)
    kernels = {name: dict(operation.variants) for name, operation in OPERATIONS.items()}
    for arguments, shown in commands():
        for name, variants in kernels.items():  # each command of the page is a program of its own
            OPERATIONS[name].variants = dict(variants)
        result = minigrad(*arguments)
        assert without_measurements(result.out + result.err) == without_measurements(shown)


def test_the_page_has_commands() -> None:
    assert [arguments[0] for arguments, _ in commands()] == ["bench"] * 3 + ["new-kernel", "bench"]
