"""The layers of the project: a file imports only what stands below it."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the bottom up; a module belongs to the longest prefix that fits.
LAYERS = [
    ["minigrad.kernels"],
    [
        *("minigrad.readers", "minigrad.tensor", "minigrad.places"),
        *("minigrad.casts", "minigrad.partial"),
        *("minigrad.autograd", "minigrad.backpropagation"),
    ],
    ["minigrad.third_party"],
    ["minigrad.autocast", "minigrad.device", "minigrad.creation", "minigrad.random", "minigrad.gradcheck"],
    ["minigrad.ops"],
    ["minigrad.nn.functional"],
    ["minigrad.nn", "minigrad.optim"],
    ["minigrad.inspect"],
    ["minigrad.models", "minigrad.data"],
    ["minigrad.train"],
    ["minigrad.workbench"],
    ["minigrad.cli", "minigrad.commands", "minigrad.__main__"],
]
RANK = {prefix: rank for rank, prefixes in enumerate(LAYERS) for prefix in prefixes}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "minigrad" else ("minigrad", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(path): path
    for folder in ("kernels", "minigrad", "models")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def rank_of(module: str) -> int | None:
    parts = module.split(".")
    prefixes = (".".join(parts[:n]) for n in range(len(parts), 1, -1))
    return next((RANK[prefix] for prefix in prefixes if prefix in RANK), None)


def imported_modules(name: str) -> Iterator[str]:
    path = SOURCES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield inner if inner in SOURCES else origin


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "minigrad"])
def test_a_file_imports_only_what_stands_at_or_below_its_layer(name: str) -> None:
    own = rank_of(name)
    assert own is not None, f"{name} has no layer: add it to LAYERS, or find it a home"
    upwards = [
        other
        for other in imported_modules(name)
        if other.startswith("minigrad.") and (rank_of(other) is None or rank_of(other) > own)
    ]
    assert not upwards, f"{name} imports from above: {upwards}"


def test_torch_is_imported_nowhere_in_the_package_but_for_the_yardstick_of_bench() -> None:
    users = [name for name in SOURCES if any(m.split(".")[0] == "torch" for m in imported_modules(name))]
    assert users == ["minigrad.workbench.pytorch"]


def test_every_folder_with_sources_is_a_listed_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {name if path.name == "__init__.py" else name.rpartition(".")[0] for name, path in SOURCES.items()}
    assert sorted(folders) == sorted(listed)
