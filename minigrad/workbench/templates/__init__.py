"""Kernels to start from, OPERATION.cu or OPERATION.py; each is right, and readable rather than fast."""

from __future__ import annotations

from importlib.resources import files


def templates(suffix: str) -> list[str]:
    """The operations that have a template in files of this suffix."""
    names = (item.name for item in files(__name__).iterdir())
    return sorted(name.removesuffix(suffix) for name in names if name.endswith(suffix) and name[0] != "_")


def template(operation: str, suffix: str) -> str | None:
    """The text of a template, or None where there is none."""
    return (files(__name__) / f"{operation}{suffix}").read_text() if operation in templates(suffix) else None
