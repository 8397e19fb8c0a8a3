"""A kernel from a file of the user's own: the templates are right; mistakes are told with file and line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from claims.commands import Run, assert_fails
from claims.variants import without_compiler
from minigrad.workbench.templates import templates

OPS = sorted({*templates(".cu"), *templates(".py")})
PROBLEMS = {
    "conv2d": "Conv2dProblem(2, 3, (7, 6), 4, (3, 2), (2, 1), (1, 0))",
    "max_pool2d": "Pool2dProblem((2, 3, 7, 6), (3, 2), (2, 2), (1, 0), ceil_mode=True)",
    "average_pool2d": "Pool2dProblem((2, 3, 7, 6), (3, 2), (2, 2), (1, 0), ceil_mode=True, divisor_override=5)",
    "batch_norm": "BatchNormProblem((2, 3, 7, 6), 1e-3, True)",
    "concat": "ConcatProblem(((2, 3, 4, 5), (2, 1, 4, 5)), 1)",
    "matmul": "MatmulProblem((5, 70), (70, 9))",
    "cross_entropy": "CrossEntropyProblem(5, 11, 0.1)",
}


pytestmark = pytest.mark.usefixtures("restored_variants")  # what a file registers is gone after the test


def problem_for(operation: str, dtype: str = "float32") -> str:
    """One problem of an operation, as a person writes it."""
    (text,) = (text for family, text in PROBLEMS.items() if operation.startswith(family))
    return f"{text[:-1]}, dtype='{dtype}')"


def bench_template(minigrad: Run, operation: str, language: str, device: str, dtype: str) -> str:
    """What the bench says of a template, which must be right."""
    suffix = {"cuda": "cu", "numba": "py"}[language]
    assert minigrad("new-kernel", operation, "--language", language).status == 0
    result = minigrad(
        "bench", operation, "--kernel", f"mine.{suffix}", "--device", device, "--variants", "mine",
        "--dtype", dtype, "--problem", problem_for(operation, dtype), "--odd", 8, "--seed", 3, "--seconds", 0,
        "--without-pytorch",
    )  # fmt: skip
    assert result.status == 0, result.err
    assert "all of these problems" not in result.out
    return result.out


@without_compiler
@pytest.mark.parametrize("operation", templates(".cu"))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_cuda_template_is_right_in_the_emulator(minigrad: Run, operation: str, dtype: str) -> None:
    out = bench_template(minigrad, operation, "cuda", "emulated", dtype)
    assert "no times" in out
    assert "blocks of" in out
    assert "median" not in out


@pytest.mark.parametrize("operation", templates(".py"))
def test_every_numba_template_is_right(minigrad: Run, operation: str) -> None:
    out = bench_template(minigrad, operation, "numba", "cpu", "float32")
    assert "fastest" in out
    assert f"{operation}=mine" in out


def test_templates_are_there_for_both_languages() -> None:
    assert templates(".cu") == templates(".py") == OPS


def test_the_command_that_a_person_is_told_finds_layers() -> None:
    from minigrad.commands.new_kernel import few
    from minigrad.workbench.contracts import CONTRACTS
    from minigrad.workbench.layers import layers_for

    layers = layers_for([CONTRACTS[name] for name in OPS], "googlenet", 2, 32, "float32")
    told = {name: few(name).removeprefix(" --layers ") for name in OPS}
    found = {layer.operation for layer in layers if told[layer.operation] in f"{layer.name} {layer.paths}"}
    assert sorted(found) == OPS


def test_a_template_has_the_name_that_is_asked_for(minigrad: Run, tmp_path: Path) -> None:
    assert minigrad("new-kernel", "conv2d_forward", "--language", "cuda", "--name", "tiled").status == 0
    assert "name:      tiled\n" in (tmp_path / "tiled.cu").read_text()
    assert minigrad("new-kernel", "conv2d_forward", "--language", "numba", "--name", "tiled").status == 0
    assert 'variant("tiled", device="cpu"' in (tmp_path / "tiled.py").read_text()


def test_a_template_overwrites_nothing(minigrad: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("keep\n")
    assert_fails(minigrad("new-kernel", "conv2d_forward", "--language", "numba"), "mine.py exists")
    assert (tmp_path / "mine.py").read_text() == "keep\n"


@pytest.mark.parametrize(
    ("operation", "phrases"),
    [
        ("conv3d", ["there is no operation 'conv3d'; there are: conv2d_forward, "]),
        ("all", ["there is no operation 'all'; there are: conv2d_forward, "]),
        ("conv2d", ["'conv2d' is more than one operation: conv2d_forward, "]),
        ("dropout", ["no template of dropout", "conv2d_forward"]),
    ],
)
def test_operations_without_a_template(minigrad: Run, operation: str, phrases: list[str]) -> None:
    assert_fails(minigrad("new-kernel", operation, "--language", "cuda"), *phrases)


HEADER = """/* minigrad kernel
operation: conv2d_forward
arguments: x, weight, y
grid: batch
block: 32
*/
extern "C" __global__ void mine(const float* x, const float* weight, float* y) { y[0] = x[0]; }
"""


@pytest.mark.parametrize(
    ("name", "text", "phrases"),
    [
        ("missing.py", None, ["missing.py", "there is no such file"]),
        ("mine.txt", "", ["mine.txt", ".py or .cu"]),
        ("mine.py", "x = 1\ny = x +\n", ["mine.py, line 2: invalid syntax"]),
        ("mine.py", "\nimport nothing_like_this\n", ["mine.py, line 2: ModuleNotFoundError", "nothing_like_this"]),
        ("mine.py", "import sys\nsys.exit(3)\n", ["mine.py, line 2: SystemExit: 3"]),
        ("mine.py", 'from minigrad.kernels import conv2d\nconv2d.forward.variant("mine", device="tpu")(print)\n',
         ["mine.py, line 2", "one of cpu, cuda, any; not 'tpu'"]),
        ("mine.py", "x = 1\n", ["mine.py registers no kernel", "variant('mine'"]),
        ("mine.cu", "// nothing\n", ["mine.cu", "/* minigrad kernel"]),
        ("mine.cu", HEADER.replace("grid: batch\n", ""), ["mine.cu, line 2", "does not say grid"]),
        ("mine.cu", HEADER.replace("grid", "gird"), ["mine.cu, line 4", "no key 'gird'"]),
        ("mine.cu", HEADER.replace("conv2d_forward", "conv3d"), ["line 2", "'conv3d'; there are: conv2d"]),
        ("mine.cu", HEADER.replace("conv2d_forward", "conv2d"), ["mine.cu, line 2", "more than one operation"]),
        ("mine.cu", HEADER.replace("grid: batch", "grid: batch +"), ["mine.cu, line 4: grid", "'batch +'"]),
        ("mine.cu", HEADER.replace(" mine(", " other("), ["mine.cu", "no kernel mine; there is other"]),
    ],
)  # fmt: skip
def test_a_file_that_is_no_kernel(
    minigrad: Run,
    tmp_path: Path,
    name: str,
    text: str | None,
    phrases: list[str],
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    assert_fails(minigrad("bench", "conv2d_forward", "--kernel", name), *phrases)


@without_compiler
@pytest.mark.parametrize(
    ("old", "new", "phrases"),
    [
        ("y[0] = x[0]", "y[0] = x[0]", ["unwritten at index"]),
        ("grid: batch", "grid: batch // (batch - 2)", ["mine.cu, line 4: grid", "by zero"]),
    ],
)
def test_a_cuda_kernel_that_is_wrong(
    minigrad: Run,
    tmp_path: Path,
    old: str,
    new: str,
    phrases: list[str],
) -> None:
    (tmp_path / "mine.cu").write_text(HEADER.replace(old, new))
    result = minigrad(
        "bench", "conv2d_forward", "--kernel", "mine.cu", "--device", "emulated", "--variants", "mine",
        "--problem", problem_for("conv2d_forward"), "--odd", 0,
    )  # fmt: skip
    assert_fails(result, "wrong: conv2d_forward=mine")
    assert "WRONG: on Conv2dProblem(batch=2" in result.out
    assert [phrase for phrase in phrases if phrase not in result.out] == []


NOT_COMPILING = HEADER.replace("y[0] = x[0]", "y[0] = nothing")


@without_compiler
@pytest.mark.parametrize("odd", [0, 2])
@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        (NOT_COMPILING, ["mine.cu does not compile", "mine.cu:7:", "error: ", "nothing"]),
        (HEADER.replace("grid: batch", "grid: bath"), ["mine.cu, line 4: grid", "bath", "in_channels"]),
    ],
)
def test_a_source_that_is_wrong_on_every_problem_ends_the_run(
    minigrad: Run, tmp_path: Path, text: str, phrases: list[str], odd: int
) -> None:
    (tmp_path / "mine.cu").write_text(text)
    result = minigrad(
        "bench", "conv2d_forward", "--kernel", "mine.cu", "--device", "emulated", "--variants", "mine",
        "--size", 32, "--odd", odd,
    )  # fmt: skip
    assert_fails(result, *phrases)
    assert "WRONG" not in result.out


@pytest.mark.parametrize(
    ("operation", "device", "phrases"),
    [
        ("concat", "emulated", ["conv2d_forward=mine is not measured", "minigrad bench conv2d_forward"]),
        ("conv2d_forward", "cpu", ["conv2d_forward=mine does not run on cpu", "--device cuda, or emulated"]),
    ],
)
def test_a_kernel_that_the_run_would_not_measure(
    minigrad: Run, tmp_path: Path, operation: str, device: str, phrases: list[str]
) -> None:
    (tmp_path / "mine.cu").write_text(HEADER)
    assert_fails(minigrad("bench", operation, "--kernel", "mine.cu", "--device", device), *phrases, status=2)


BARE = """from minigrad.kernels import conv2d
@conv2d.forward.variant("mine", device="cpu", refuses=lambda problem: REASON)
def forward(problem, x): pass
"""


@pytest.mark.parametrize(
    ("reason", "phrases"),
    [
        ("1 / 0", ["mine.py, line 2: `refuses` raises ZeroDivisionError"]),
        ("False", ["variant 'mine': `refuses` gives a reason or None, not False"]),
    ],
)
def test_a_predicate_that_is_wrong(minigrad: Run, tmp_path: Path, reason: str, phrases: list[str]) -> None:
    (tmp_path / "mine.py").write_text(BARE.replace("REASON", reason))
    problem = problem_for("conv2d_forward")
    assert_fails(minigrad("bench", "conv2d_forward", "--kernel", "mine.py", "--problem", problem), *phrases)


def test_a_function_that_takes_other_arguments_is_told_with_its_own_line(minigrad: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BARE.replace("REASON", "None"))
    result = minigrad(
        "bench", "conv2d_forward", "--kernel", "mine.py", "--variants", "mine", "--odd", 0,
        "--problem", problem_for("conv2d_forward"),
    )  # fmt: skip
    assert_fails(result, "wrong: conv2d_forward=mine")
    assert "takes 2 positional arguments but 4 were given (" in result.out
    assert "mine.py, line 2)" in result.out


NUMPY_KERNEL = """
from minigrad.kernels import conv2d

CALLS = []

@conv2d.forward.variant("mine", device="cpu")
def forward(problem, x, weight, bias):
    CALLS.append(problem)
    return conv2d.forward.variants["reference"].function(problem, x, weight, bias)
"""


def test_training_uses_the_kernel(minigrad: Run, tmp_path: Path, images: Path) -> None:
    (tmp_path / "mine.py").write_text(NUMPY_KERNEL)
    result = minigrad(
        "train", "--model", "tiny", "--data", images, "--size", 12, "--epochs", 1, "--kernel", "mine.py",
        "--kernels", "conv2d_forward=mine",
    )  # fmt: skip
    assert result.status == 0, result.err
    assert "mine.py: conv2d_forward=mine" in result.out
    assert sys.modules["minigrad_kernel_mine"].CALLS


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("raise ValueError('too\\nwide')", "it raises ValueError: too wide"),
        ("conv2d.Conv2dProblem(1, 3, (2, 2), 4, (5, 5))", "does not fit"),
        ("raise SystemExit(0)", "it raises SystemExit: 0"),
    ],
)
def test_training_with_a_kernel_that_raises_tells_file_and_line(
    minigrad: Run, tmp_path: Path, images: Path, line: str, words: str
) -> None:
    (tmp_path / "mine.py").write_text(NUMPY_KERNEL.replace("CALLS.append(problem)", line))
    options = ("--data", images, "--size", 12, "--kernel", "mine.py", "--kernels", "conv2d_forward=mine")
    assert_fails(minigrad("train", "--model", "tiny", *options), "mine.py, line 8: ", words)
    debugged = minigrad("train", "--model", "tiny", *options, "--debug")
    assert debugged.status == 1
    assert "Traceback" in debugged.err


@without_compiler
def test_training_with_a_source_that_does_not_compile(minigrad: Run, tmp_path: Path, images: Path) -> None:
    (tmp_path / "mine.cu").write_text(NOT_COMPILING)
    result = minigrad(
        "train", "--model", "tiny", "--data", images, "--size", 12, "--kernel", "mine.cu", "--device", "emulated",
        "--kernels", "conv2d_forward=mine",
    )  # fmt: skip
    assert_fails(result, "mine.cu does not compile", "mine.cu:7:")


def test_training_with_a_kernel_that_is_not_there(minigrad: Run, images: Path) -> None:
    result = minigrad("train", "--model", "tiny", "--data", images, "--kernels", "conv2d_forward=mine")
    assert_fails(result, "conv2d_forward has no variant 'mine'", status=2)
