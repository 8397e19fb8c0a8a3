"""What each operation takes and gives, how much work that is, and what it is compared with: one file a family.

contract.py     what a contract says; drawing.py: random arguments and sizes
conv2d.py, pool2d.py, ...   the operations of one family of kernels, as data

To make an operation measurable, add its Contract to its family's file; a new family is a new file, named below.
"""

from __future__ import annotations

from minigrad.kernels.errors import KernelError

from . import (
    accumulate,
    batch_norm,
    concat,
    conv2d,
    cross_entropy,
    dropout,
    interpolate,
    local_response_norm,
    matmul,
    optimizer_steps,
    pool2d,
)
from .contract import Arguments, Contract, arrays_in

FAMILIES = (
    conv2d,
    pool2d,
    batch_norm,
    concat,
    matmul,
    dropout,
    local_response_norm,
    interpolate,
    cross_entropy,
    accumulate,
    optimizer_steps,
)
CONTRACTS: dict[str, Contract] = {c.operation.name: c for family in FAMILIES for c in family.CONTRACTS}


def contract_named(name: str) -> Contract:
    """The contract of an operation.

    Raises:
        KernelError: if there is no such operation, or it is the name of several.
    """
    if name in CONTRACTS:
        return CONTRACTS[name]
    several = [own for own, contract in CONTRACTS.items() if _belongs(own, contract, name)]
    if several:
        raise KernelError(f"{name!r} is more than one operation: {', '.join(several)}")
    raise KernelError(f"there is no operation {name!r}; there are: {', '.join(CONTRACTS)}")


def _belongs(own: str, contract: Contract, name: str) -> bool:
    return name == contract.operation.family or own.startswith(f"{name}_")


def contracts_named(name: str) -> list[Contract]:
    """The contracts that a person means: "all", an operation, a family, or what operations begin with.

    Raises:
        KernelError: if there is no such operation.
    """
    if name in CONTRACTS:
        return [CONTRACTS[name]]
    found = [c for own, c in CONTRACTS.items() if name == "all" or _belongs(own, c, name)]
    if not found:
        raise KernelError(f"there is no operation {name!r}; there are: all, {', '.join(CONTRACTS)}")
    return found


def describe(operation: str, problem: object) -> str:
    """A problem of an operation in a few words, without the size of its batch."""
    return CONTRACTS[operation].describe(problem)


__all__ = ["CONTRACTS", "Arguments", "Contract", "arrays_in", "contract_named", "contracts_named", "describe"]
