"""A CUDA file that cheats is caught in the emulator, where nothing is timed but everything is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claims.attacks import assert_wrong
from claims.variants import without_compiler
from minigrad.kernels.accumulate import AccumulateProblem
from minigrad.kernels.pool2d import Pool2dProblem
from minigrad.workbench.layers import Layer
from minigrad.workbench.session import Session
from minigrad.workbench.settings import Settings
from minigrad.workbench.user_kernel import load_kernels

pytestmark = [pytest.mark.usefixtures("restored_variants"), without_compiler]

WINDOWS = Pool2dProblem((2, 4, 6, 6), (2, 2), (2, 2))
AVERAGE = """/* minigrad kernel
operation: average_pool2d_forward
name:      attack
arguments: x, y, batch * output_height * output_width, channels, width, output_width, output_height
grid:      1
block:     32
*/
__device__ int calls = 0;
__device__ const float* remembered = nullptr;
__device__ float kept[1024];

extern "C" __global__ void attack(
    X float* x, float* y, int windows, int channels, int width, int columns, int rows) {
    for (int i = threadIdx.x; i < windows * channels; i += 32) {
        const int c = i % channels, q = i / channels % columns, p = i / channels / columns % rows;
        const int n = i / channels / columns / rows;
        X float* corner = x + ((n * 2 * rows + 2 * p) * width + 2 * q) * channels + c;
        X float* below = corner + width * channels;
        float mean = (corner[0] + corner[channels] + below[0] + below[channels]) / 4;
        CHEAT
        y[i] = mean;
    }
    LAST
}
"""
SUM = AccumulateProblem((2, 3, 4, 5))
ADD_TO = """/* minigrad kernel
operation: accumulate_add_to
name:      attack
arguments: a, b, batch * channels * height * width
grid:      1
block:     32
*/
extern "C" __global__ void attack(float* a, float* b, int elements) {
    for (int i = threadIdx.x; i < elements; i += 32) {
        WORK
    }
}
"""


def row_of(path: Path, text: str, operation: str, problem: Any) -> Any:
    """The row of a kernel file on one problem, in the emulator."""
    (path / "attack.cu").write_text(text)
    load_kernels(path / "attack.cu")
    session = Session(Settings("emulated", variants=("attack",), odd=0), None)
    ((row,),) = session.measure([Layer(operation, problem)])
    return row


def averaging(cheat: str = "", last: str = "", constant: str = "const") -> str:
    text = AVERAGE.replace("CHEAT", cheat).replace("LAST", last)
    return text.replace(" X float*", f" {constant} float*")


@pytest.mark.parametrize(
    ("text", "operation", "problem"),
    [
        (averaging(), "average_pool2d_forward", WINDOWS),
        (ADD_TO.replace("WORK", "a[i] += b[i];"), "accumulate_add_to", SUM),
    ],
    ids=["average_pool2d_forward", "accumulate_add_to"],
)
def test_an_honest_kernel_is_right(tmp_path: Path, text: str, operation: str, problem: Any) -> None:
    row = row_of(tmp_path, text, operation, problem)
    assert (row.verdict, row.reason) == ("right", "")
    assert row.launches


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        (averaging("if (i == 17) mean = __int_as_float(0x7fc00000);"), "is nan"),
        (averaging("if (i == 17) continue;"), "unwritten at index"),
        (averaging("if (i == 17) mean += 1e-2f;"), "1 of 72 elements"),
        (averaging("if (calls > 0) mean = 0;", "if (threadIdx.x == 0) ++calls;"), "should be"),
        (
            averaging(
                "if (remembered == x) mean = kept[i]; else if (!remembered) kept[i] = mean;",
                "__syncthreads(); if (threadIdx.x == 0 && !remembered) remembered = x;",
            ),
            "it remembers addresses",
        ),
        (averaging("corner[0] = 0;", constant=""), "it changes its argument x"),
        (averaging("if (i == 0) y[-1] = 0;"), "before the start of argument 1"),
    ],
    ids=["nan", "unwritten", "wrong", "right-once", "cache", "changed-input", "stray-write"],
)
def test_a_cuda_kernel_that_cheats(tmp_path: Path, text: str, phrase: str) -> None:
    assert_wrong(row_of(tmp_path, text, "average_pool2d_forward", WINDOWS), WINDOWS, phrase)


@pytest.mark.parametrize(
    ("work", "phrase"),
    [
        ("if (i != 5) a[i] += b[i];", "1 of 120 elements"),
        ("a[i] += 2 * b[i];", "should be"),
        ("a[i] += b[i]; b[i] = 0;", "it changes its argument b"),
        ("a[i] += b[i] / 0.0f;", "a["),
    ],
    ids=["left-out", "twice", "changed-input", "infinite"],
)
def test_a_cuda_kernel_that_cheats_in_place(tmp_path: Path, work: str, phrase: str) -> None:
    assert_wrong(row_of(tmp_path, ADD_TO.replace("WORK", work), "accumulate_add_to", SUM), SUM, phrase)
