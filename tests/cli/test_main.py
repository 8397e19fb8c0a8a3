"""The command line as a whole: help, version, the small commands, and how errors end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as package
from claims.commands import Run, assert_fails
from minigrad import cli
from minigrad.kernels.registry import OPERATIONS

COMMANDS = ("train", "eval", "predict", "summary", "kernels")


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m minigrad ARGUMENTS` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "minigrad", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_it_runs_as_a_module() -> None:
    result = process("--version")
    assert (result.returncode, result.stdout) == (0, f"minigrad {package.__version__}\n")


def test_help_imports_nothing_heavy() -> None:
    heavy = "torch", "matplotlib", "sklearn", "grain", "tqdm", "PIL", "safetensors"
    script = (
        "import sys; from minigrad.cli import main; status = main(['--help']); "
        f"print('imported:', [name for name in {heavy!r} if name in sys.modules]); sys.exit(status)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "imported: []"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(minigrad: Run, command: str) -> None:
    result = minigrad(command, "--help")
    assert result.status == 0
    assert "--debug" in result.out


def test_without_a_command_it_asks_for_one(minigrad: Run) -> None:
    assert_fails(minigrad(), "COMMAND", status=2)
    assert_fails(minigrad("learn"), "learn", "train", status=2)


@pytest.mark.parametrize("model", ["googlenet", "googlenet-paper"])
def test_summary_prints_the_papers_table(minigrad: Run, model: str) -> None:
    out = minigrad("summary", "--model", model, "--num-classes", "10", "--size", "64").out
    for phrase in ("#3x3 reduce", "pool proj", "inception (3a)", "inception (5b)"):
        assert phrase in out


@pytest.mark.parametrize(
    ("given", "phrase", "status"),
    [
        (["--model", "alexnet"], "--model 'alexnet': there is no such model; there are: googlenet", 2),
        (["--size", "14"], "--size 14 is too small for googlenet, which needs images of at least 15x15", 2),
        (["--size", "30", "--model", "googlenet-paper"], "--size 30 is too small for googlenet-paper", 2),
        (["--size", "0"], "--size", 2),
        (["--size", "9999999999999"], "--size 9999999999999", 2),
        (["--num-classes", "0"], "--num-classes", 2),
    ],
)
def test_summary_names_what_is_wrong(minigrad: Run, given: list[str], phrase: str, status: int) -> None:
    assert_fails(minigrad("summary", *given), phrase, status=status)


def test_kernels_lists_every_variant_of_every_operation(minigrad: Run) -> None:
    words = [line.split() for line in minigrad("kernels").out.splitlines()]
    rows = {line[1]: " ".join(line) for line in words if len(line) > 2 and line[1] in OPERATIONS}
    assert rows.keys() == OPERATIONS.keys()
    for name, operation in OPERATIONS.items():
        assert all(f"{variant.name} ({variant.device})" in rows[name] for variant in operation.variants.values())


@pytest.mark.parametrize(
    ("variable", "value", "phrase"),
    [
        ("MINIGRAD_KERNELS", "conv2d=winogrd", "winogrd"),
        ("MINIGRAD_KERNELS", "convolution=direct", "convolution"),
        ("MINIGRAD_CPU", "i386", "not a known processor"),
        ("MINIGRAD_NUM_THREADS", "many", "many"),
        ("MINIGRAD_NUM_THREADS", "0", "'0'"),
    ],
)
def test_a_bad_environment_variable_is_named_in_one_line(variable: str, value: str, phrase: str) -> None:
    result = process("kernels", **{variable: value})
    assert result.returncode == 1
    assert result.stderr.startswith("minigrad: ")
    assert result.stderr.count("\n") == 1
    assert variable in result.stderr
    assert phrase in result.stderr


def test_kernels_lists_what_there_is_whatever_the_environment_asks_for() -> None:
    result = process("kernels", MINIGRAD_KERNELS="conv2d=winogrd")
    assert result.stdout == process("kernels").stdout != ""


def test_a_reader_that_stops_reading_is_no_error() -> None:
    command = f"{sys.executable} -m minigrad summary --size 64 | head -n 1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert result.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_output_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "minigrad", "kernels"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert "No space left" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (FileNotFoundError(2, "No such file or directory", "images.txt"), "images.txt: No such file", 1),
        (
            MemoryError("Unable to allocate 9 GiB"),
            "out of memory: Unable to allocate 9 GiB; a smaller --batch-size",
            1,
        ),
        (ZeroDivisionError("division by zero"), "internal error: ZeroDivisionError: division by zero", 1),
        (KeyboardInterrupt(), "interrupted", 130),
        (package.MinigradError("first line\n  second line"), "first line second line", 1),
    ],
)
def test_any_error_ends_in_one_line(
    minigrad: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, line: str, status: int
) -> None:
    def fail(arguments: object) -> int:
        raise error

    monkeypatch.setattr(cli.kernels, "run", fail)
    assert_fails(minigrad("kernels"), line, status=status)
    assert "Traceback" in minigrad("kernels", "--debug").err
