"""A float32 as the sum of two bfloat16: how a processor that multiplies bfloat16 multiplies float32.

    x = high + low + rest,    high = bfloat16(x),  low = bfloat16(x - high),  |rest| <= 2^-17 |x|

so that x * y is the sum of four products of halves, up to 2^-16 of it and typically 3.5e-6 (Henry, Tang and
Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations",
arXiv 1904.06376). The sums stay in float32. What is not finite has no such halves: each function here returns
whether it met that, so that the caller can compute it in another way.

Matrix instructions take the depth of a product in pairs. The left factor's pairs are neighbours in memory; the
right factor's are words, [depth / 2][column][2]. `split` makes rows of the one, `split_pairs` words of the other,
and `split_transposed` turns columns into rows on the way.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .vectors import WORD, intrinsic_function, word

LANES = 16
_BITS = ir.IntType(32)
_SHORT = ir.IntType(16)
_VECTOR = ir.VectorType(_BITS, LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_SHORTS = ir.VectorType(_SHORT, LANES)


def _every(value: int) -> ir.Constant:
    return ir.Constant(_VECTOR, [value] * LANES)


_HIGH, _HALF_A_PLACE, _EXPONENT = _every(0xFFFF0000), _every(0x8000), _every(0x7F800000)  # a place: of bfloat16


class _Halves:
    """Emits the operations on sixteen float32 at once."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder
        self.not_finite: ir.Value = ir.Constant(_SHORT, 0)

    def _call(self, name: str, result: ir.Type, arguments: list[ir.Value]) -> ir.Value:
        signature = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, signature, name), arguments)

    def first_lanes(self, count: ir.Value) -> ir.Value:
        """A mask of the first `count` lanes."""
        lanes = ir.Constant(ir.VectorType(WORD, LANES), list(range(LANES)))
        return self.builder.icmp_signed("<", lanes, self._splat(count))

    def _splat(self, value: ir.Value) -> ir.Value:
        empty = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(_BITS, 0))
        return self.builder.shuffle_vector(first, empty, ir.Constant(_VECTOR, None))

    def load(self, address: ir.Value, mask: ir.Value) -> ir.Value:
        """Sixteen numbers from `address` on; zero, and no access, outside of `mask`."""
        pointer = self.builder.inttoptr(address, _FLOATS.as_pointer())
        zero = ir.Constant(_FLOATS, None)
        return self._call("llvm.masked.load.v16f32.p0", _FLOATS, [pointer, ir.Constant(_BITS, 4), mask, zero])

    def gather(self, address: ir.Value, step: ir.Value, mask: ir.Value) -> ir.Value:
        """Sixteen numbers, `step` bytes from one to the next."""
        lanes = ir.Constant(ir.VectorType(WORD, LANES), list(range(LANES)))
        places = self.builder.add(self._splat(address), self.builder.mul(lanes, self._splat(step)))
        pointers = self.builder.inttoptr(places, ir.VectorType(_FLOATS.as_pointer(), LANES))
        zero = ir.Constant(_FLOATS, None)
        return self._call(
            "llvm.masked.gather.v16f32.v16p0", _FLOATS, [pointers, ir.Constant(_BITS, 4), mask, zero]
        )

    def halves(self, numbers: ir.Value) -> tuple[ir.Value, ir.Value]:
        """High and low, each in the upper half of 32 bits; rounded to the nearest, ties away from zero."""
        builder = self.builder
        bits = builder.bitcast(numbers, _VECTOR)
        high = builder.and_(builder.add(bits, _HALF_A_PLACE), _HIGH)
        rest = builder.fsub(numbers, builder.bitcast(high, _FLOATS))
        low = builder.add(builder.bitcast(rest, _VECTOR), _HALF_A_PLACE)
        endless = builder.icmp_unsigned("==", builder.and_(high, _EXPONENT), _EXPONENT)
        self.not_finite = builder.or_(self.not_finite, builder.bitcast(endless, _SHORT))
        return high, low

    def shorts(self, bits: ir.Value) -> ir.Value:
        """The upper halves alone."""
        return self.builder.trunc(self.builder.lshr(bits, _every(16)), _SHORTS)

    def store(self, value: ir.Value, address: ir.Value) -> None:
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer()), align=2)

    def paired(self, first: ir.Value, second: ir.Value) -> ir.Value:
        """Words of two bfloat16, the first of a pair below."""
        return self.builder.or_(self.builder.lshr(first, _every(16)), self.builder.and_(second, _HIGH))

    def transposed(self, rows: list[ir.Value]) -> list[ir.Value]:
        """Sixteen rows of sixteen as columns: blocks of 8, 4, 2, 1 change places across the diagonal."""
        for block in (8, 4, 2, 1):
            swapped = list(rows)
            keep = [lane if not lane & block else lane - block + LANES for lane in range(LANES)]
            take = [lane + block if not lane & block else lane + LANES for lane in range(LANES)]
            for index in range(LANES):
                if not index & block:
                    above, below = rows[index], rows[index + block]
                    swapped[index] = self.builder.shuffle_vector(above, below, ir.Constant(_VECTOR, keep))
                    swapped[index + block] = self.builder.shuffle_vector(above, below, ir.Constant(_VECTOR, take))
            rows = swapped
        return rows

    def met_not_finite(self) -> ir.Value:
        return self.builder.zext(self.not_finite, WORD)


@intrinsic_function
def split(typing, source, lanes, high, low):  # type: ignore[no-untyped-def]
    """Split the `lanes` numbers at address `source`; sixteen halves go to each target, zeros past the last."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        source, lanes, high, low = arguments
        halves = _Halves(builder)
        high_bits, low_bits = halves.halves(halves.load(source, halves.first_lanes(lanes)))
        halves.store(halves.shorts(high_bits), high)
        halves.store(halves.shorts(low_bits), low)
        return halves.met_not_finite()

    return types.intp(*[types.intp] * 4), generate


def _pairs(gather: bool) -> Any:
    @intrinsic_function
    def split_pairs(typing, first, first_lanes, second, second_lanes, step, high, low):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            first, first_lanes, second, second_lanes, step, high, low = arguments
            halves = _Halves(builder)

            def load(address: ir.Value, lanes: ir.Value) -> ir.Value:
                mask = halves.first_lanes(lanes)
                return halves.gather(address, step, mask) if gather else halves.load(address, mask)

            first_high, first_low = halves.halves(load(first, first_lanes))
            second_high, second_low = halves.halves(load(second, second_lanes))
            halves.store(halves.paired(first_high, second_high), high)
            halves.store(halves.paired(first_low, second_low), low)
            return halves.met_not_finite()

        return types.intp(*[types.intp] * 7), generate

    return split_pairs


# split_pairs(first, first_lanes, second, second_lanes, step, high, low): word i of each target pairs the halves of
# number i from address `first` with that from `second`. Numbers are neighbours, or `step` bytes apart.
split_pairs, split_spread_pairs = _pairs(gather=False), _pairs(gather=True)


@intrinsic_function
def split_transposed(typing, rows, offset, lanes, high, low, target_step):  # type: ignore[no-untyped-def]
    """Split 16 rows into 16 columns: number c of row r becomes half r of the row at `high` + c * `target_step`.

    The rows' addresses are listed at address `rows`, where 0 stands for a row of zeros; `offset` is added to them.
    Columns from `lanes` on are zero.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        rows, offset, lanes, high, low, target_step = arguments
        halves = _Halves(builder)
        columns = halves.first_lanes(lanes)
        nothing = ir.Constant(columns.type, None)
        numbers = []
        for row in range(LANES):
            place = builder.load(builder.gep(builder.inttoptr(rows, WORD.as_pointer()), [word(row)]))
            there = builder.select(builder.icmp_signed("!=", place, word(0)), columns, nothing)
            numbers.append(halves.load(builder.add(place, offset), there))
        for column, values in enumerate(halves.transposed(numbers)):
            high_bits, low_bits = halves.halves(values)
            target = builder.mul(target_step, word(column))
            halves.store(halves.shorts(high_bits), builder.add(high, target))
            halves.store(halves.shorts(low_bits), builder.add(low, target))
        return halves.met_not_finite()

    return types.intp(*[types.intp] * 6), generate
