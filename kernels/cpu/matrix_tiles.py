"""Matrix products by the processor's matrix instructions (Intel's AMX), in float32 by halves.

A tile register holds 16 rows of 64 bytes. One instruction multiplies a tile of 16x32 bfloat16 by one of 32x16 and
adds the 16x16 float32 products to a third: sixteen times the arithmetic of AVX-512's float32. `product` uses
four of them where float32 needs one (`two_bfloat16.py` says why), on a block of 2x2 tiles of sums, so that each
tile that is loaded serves two or four products. The smallest products come first.

    the left factor    rows of bfloat16, anywhere with a fixed distance; 32 of the depth are 64 bytes of a row.
                       The rows of `low` lie as those of `high`, `low_offset` bytes later
    the right factor   panels of 32 columns in four parts, `part_bytes` apart: high of columns 0-15, of 16-31, then
                       low of both; each a row of 16 words of pairs (64 bytes) for every two of the depth
    the sums           32 rows of 32 float32, 128 bytes apart

Measured on one core of a Sapphire Rapids at 2 GHz: 140 to 500 GFLOP/s, where float32 reaches 90 to 150; both vary
with what the neighbours on the same chip do.
"""

from __future__ import annotations

import ctypes
import functools
import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..arrays import Array
from ..errors import KernelError
from .buffers import empty
from .jit import jit
from .processor import FEATURES
from .tasks import task_kernel
from .two_bfloat16 import LANES, split_spread_pairs
from .vectors import Vectors, intrinsic_function, word, word_at

ROWS, COLUMNS, DEPTH = 32, 32, 32  # of a block
TILE_BYTES = 1024
PANEL_BYTES = 4 * TILE_BYTES  # of a panel of the right factor, for DEPTH of the depth
SUM_BYTES = ROWS * COLUMNS * 4
SUM_ROW = COLUMNS * 4

_BYTE = ir.IntType(8)

# Linux asks that a process requests the tile registers before its first use of them: <asm/prctl.h>, and
# Documentation/arch/x86/xstate.rst of its source.
_SYSTEM_CALL_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _TILE_DATA = 158, 0x1023, 18


@functools.cache
def obstacle() -> str | None:
    """Why this process cannot use the tile registers, or None when it may from now on."""
    if not {"amx-tile", "amx-bf16", "avx512bw"} <= FEATURES:
        return "the processor has no matrix instructions for bfloat16 (AMX)"
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"it asks Linux on x86_64 for the tile registers, not {platform.system()} on {platform.machine()}"
    if ctypes.CDLL(None).syscall(_SYSTEM_CALL_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _TILE_DATA) != 0:
        return "the operating system does not grant the processor's tile registers"
    return None


def configuration() -> np.ndarray:
    """What the processor reads its tiles' shapes from: eight of 16 rows of 64 bytes, palette 1.

    Raises:
        KernelError: if this process cannot use them.
    """
    reason = obstacle()
    if reason is not None:
        raise KernelError(f"no product of matrix tiles: {reason}")
    table = np.zeros(64, np.uint8)
    table[0] = 1
    table[16:32].view(np.uint16)[:] = 64
    table[48:56] = 16
    return table


def _instruction(name: str, immediates: tuple[int, ...], arguments: int) -> Any:
    """A function for compiled code that is one instruction: register numbers are part of it."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> ir.Value:
        values = [ir.Constant(_BYTE, value) for value in immediates]
        if given:
            values.append(builder.inttoptr(given[0], _BYTE.as_pointer()))
            values += given[1:]
        function_type = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        builder.call(cgutils.get_or_insert_function(builder.module, function_type, f"llvm.x86.{name}"), values)
        return context.get_dummy_value()

    if arguments == 0:
        return intrinsic(lambda typing: (types.void(), emit))
    if arguments == 1:
        return intrinsic(lambda typing, address: (types.void(types.intp), emit))
    return intrinsic(lambda typing, address, row_bytes: (types.void(types.intp, types.intp), emit))


configure = _instruction("ldtilecfg", (), 1)
release = _instruction("tilerelease", (), 0)

# Tiles 0 to 3 are the sums [upper, lower][left, right], 4 and 5 the left factor, 6 and 7 the right.
_zero_0, _zero_1, _zero_2, _zero_3 = (_instruction("tilezero", (tile,), 0) for tile in range(4))
_load_0, _load_1, _load_2, _load_3 = (_instruction("tileloadd64", (tile,), 2) for tile in range(4))
_load_upper, _load_lower, _load_left, _load_right = (
    _instruction("tileloadd64", (tile,), 2) for tile in range(4, 8)
)
_store_0, _store_1, _store_2, _store_3 = (_instruction("tilestored64", (tile,), 2) for tile in range(4))
_upper_left = _instruction("tdpbf16ps", (0, 4, 6), 0)
_upper_right = _instruction("tdpbf16ps", (1, 4, 7), 0)
_lower_left = _instruction("tdpbf16ps", (2, 5, 6), 0)
_lower_right = _instruction("tdpbf16ps", (3, 5, 7), 0)


@jit
def product(  # type: ignore[no-untyped-def]
    high, low_offset, row_bytes, offsets, taps, blocks, panel, part_bytes, step_bytes, sums, stored
):
    """32x32 sums = the products of `taps` times `blocks` times DEPTH; on top of what `sums` holds where `stored`.

    The left factor's rows start at address `high` plus, for each tap, the int64 listed at address `offsets`. In
    the right factor's parts, the next DEPTH of the depth follow `step_bytes` later. All arguments are addresses,
    bytes and counts; the tiles have been configured. Rows that begin within a cache line take a quarter longer.
    """
    half_sums, half_rows = ROWS // 2 * SUM_ROW, ROWS // 2 * row_bytes
    if stored:
        _load_0(sums, SUM_ROW)
        _load_1(sums + 64, SUM_ROW)
        _load_2(sums + half_sums, SUM_ROW)
        _load_3(sums + half_sums + 64, SUM_ROW)
    else:
        _zero_0()
        _zero_1()
        _zero_2()
        _zero_3()
    for tap in range(taps):
        upper = high + word_at(offsets + 8 * tap)
        for _ in range(blocks):
            _load_upper(upper + low_offset, row_bytes)
            _load_left(panel, 64)
            _upper_left()
            _load_right(panel + part_bytes, 64)
            _upper_right()
            _load_lower(upper + low_offset + half_rows, row_bytes)
            _lower_left()
            _lower_right()
            _load_left(panel + 2 * part_bytes, 64)
            _upper_left()
            _lower_left()
            _load_right(panel + 3 * part_bytes, 64)
            _upper_right()
            _lower_right()
            _load_upper(upper, row_bytes)
            _upper_left()
            _upper_right()
            _load_lower(upper + half_rows, row_bytes)
            _lower_left()
            _lower_right()
            _load_left(panel, 64)
            _upper_left()
            _lower_left()
            _load_right(panel + part_bytes, 64)
            _upper_right()
            _lower_right()
            upper += 2 * DEPTH
            panel += step_bytes
    _store_0(sums, SUM_ROW)
    _store_1(sums + 64, SUM_ROW)
    _store_2(sums + half_sums, SUM_ROW)
    _store_3(sums + half_sums + 64, SUM_ROW)


@jit
def narrow_product(  # type: ignore[no-untyped-def]
    high, low_offset, row_bytes, offsets, taps, blocks, panel, part_bytes, step_bytes, sums, stored
):
    """`product` for a panel of which only the first 16 columns count: half the instructions."""
    half_sums, half_rows = ROWS // 2 * SUM_ROW, ROWS // 2 * row_bytes
    if stored:
        _load_0(sums, SUM_ROW)
        _load_2(sums + half_sums, SUM_ROW)
    else:
        _zero_0()
        _zero_2()
    for tap in range(taps):
        upper = high + word_at(offsets + 8 * tap)
        for _ in range(blocks):
            _load_upper(upper + low_offset, row_bytes)
            _load_left(panel, 64)
            _upper_left()
            _load_lower(upper + low_offset + half_rows, row_bytes)
            _lower_left()
            _load_left(panel + 2 * part_bytes, 64)
            _upper_left()
            _lower_left()
            _load_upper(upper, row_bytes)
            _upper_left()
            _load_lower(upper + half_rows, row_bytes)
            _lower_left()
            _load_left(panel, 64)
            _upper_left()
            _lower_left()
            upper += 2 * DEPTH
            panel += step_bytes
    _store_0(sums, SUM_ROW)
    _store_2(sums + half_sums, SUM_ROW)


@jit
def aligned(address):  # type: ignore[no-untyped-def]
    """The next address at which a row of a tile lies in one cache line."""
    return (address + 63) & ~63


@intrinsic_function
def finish_row(typing, sums, bias, relu, target, columns):  # type: ignore[no-untyped-def]
    """Write the first `columns` of a row of sums, plus `bias`, at least 0 where `relu`, to address `target`."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        sums, bias, relu, target, columns = arguments
        vectors = Vectors(builder, types.float32)
        clamped = builder.trunc(relu, ir.IntType(1))
        for vector in range(COLUMNS // LANES):
            offset = word(64 * vector)
            mask = vectors.first_lanes(builder.sub(columns, word(LANES * vector)))
            value = vectors.load(builder.add(sums, offset))
            value = builder.fadd(value, vectors.load(builder.add(bias, offset), mask))
            value = builder.select(clamped, vectors.relu(value), value)
            vectors.store(value, builder.add(target, offset), mask)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), generate


@task_kernel
def _pack_panels(  # type: ignore[no-untyped-def]
    panel, panels, w, start, tap_step, depth_step, column_step, taps, depth, columns, packed, not_finite
):
    size = w.itemsize
    target = aligned(packed.ctypes.data) + panel * (taps * ((depth + DEPTH - 1) // DEPTH) * PANEL_BYTES)
    first = w.ctypes.data + (start + panel * COLUMNS * column_step) * size
    bad = 0
    for tap in range(taps):
        for block in range(0, depth, DEPTH):
            for pair in range(DEPTH // 2):
                above = block + 2 * pair
                source = first + (tap * tap_step + above * depth_step) * size
                for side in range(2):
                    left = columns - panel * COLUMNS - side * LANES
                    lanes, next_lanes = left if above < depth else 0, left if above + 1 < depth else 0
                    place = source + side * LANES * column_step * size
                    words = target + side * TILE_BYTES + pair * 64
                    bad |= split_spread_pairs(
                        place, lanes, place + depth_step * size, next_lanes, column_step * size,
                        words, words + 2 * TILE_BYTES,
                    )  # fmt: skip
            target += PANEL_BYTES
    not_finite[panel] = bad


def packed_panels(
    weight: Array, strides: tuple[int, int, int, int], taps: int, depth: int, columns: int
) -> np.ndarray:
    """The panels of B[t, d, column] = w[start + t*tap_step + d*depth_step + column*column_step].

    `strides` are start, tap_step, depth_step and column_step, in elements. Empty where a weight is not finite.
    """
    panels = -(-columns // COLUMNS)
    packed = empty((panels * taps * -(-depth // DEPTH) * PANEL_BYTES + 64,), np.uint8)
    not_finite = np.zeros(panels, np.int64)
    _pack_panels(
        panels, np.ascontiguousarray(weight).reshape(-1), *strides, taps, depth, columns, packed, not_finite
    )
    return np.empty(0, np.uint8) if not_finite.any() else packed
