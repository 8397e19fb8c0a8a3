"""NVIDIA's compiler takes every kernel, for every GPU we support, and keeps its numbers in registers."""

from __future__ import annotations

import pytest

from minigrad.kernels.cuda.launch import CudaSource
from minigrad.kernels.cuda.resources import ARCHITECTURES, all_sources, main, resources, table
from minigrad.kernels.errors import KernelError

pytest.importorskip("cuda.bindings.nvrtc", reason="needs the packages cuda-bindings and nvidia-cuda-nvrtc")

# Kernels that may spill registers to memory, and why that is all right.
SPILLS_WITH_REASON: dict[tuple[str, str], str] = {}
MOST_STATIC_SHARED = 48 << 10


@pytest.mark.lengthy
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", all_sources(), ids=lambda source: source.path)
def test_every_specialisation_compiles_without_spills(source: CudaSource, architecture: str) -> None:
    report = table([source], (architecture,))
    assert {entry.kernel for entry in report} == set(source.kernels)
    spilling = [entry for entry in report if entry.spilled_bytes]
    assert not [e for e in spilling if (e.source, e.kernel) not in SPILLS_WITH_REASON]
    assert all(entry.shared_bytes <= MOST_STATIC_SHARED for entry in report)


def test_an_error_is_told_with_its_line(tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / "broken.cu"  # type: ignore[operator]
    path.write_text('extern "C" __global__ void broken(int* y) {\n    y[0] = nowhere;\n}\n')
    with pytest.raises(KernelError, match=r'broken\.cu\(2\): error: identifier "nowhere" is undefined'):
        resources(CudaSource(str(path)), {}, "sm_80")


def test_the_table_is_printed_for_what_a_person_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fold", "--arch", "sm_90"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[0] == "source" and heading.endswith("spilled bytes")
    assert [row.split()[:2] for row in rows] == [["batch_norm/fold.cu", "fold"]] * 2
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "no file has 'nothing' in its path" in capsys.readouterr().err
