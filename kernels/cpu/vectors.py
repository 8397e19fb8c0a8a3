"""Vector arithmetic inside compiled kernels: a few lines of Python emit the instructions.

Numba leaves vectorisation to LLVM's loop pass, which gives up on what convolution needs most: a tile of
sums that stays in registers, and transforms with dozens of memory streams. Here Python writes the LLVM
vectors itself, at compile time: `Vectors` loads, stores and multiplies whole registers, and its
values add and multiply with Python's operators. The width follows the processor (`processor.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .processor import VECTOR_BYTES

WORD = ir.IntType(64)
_LANE = ir.IntType(32)


def intrinsic_function(definition: Callable[..., Any]) -> Callable[..., Any]:
    """Numba's `intrinsic`, with the type that compiled code sees: no typing context."""
    function: Callable[..., Any] = intrinsic(definition)
    return function


def word(value: int) -> ir.Constant:
    return ir.Constant(WORD, value)


def element_type(like: Any) -> Any:
    """The element type of an argument that only tells it: an array or a number."""
    return like.dtype if isinstance(like, types.Array) else like


class Vectors:
    """Emits operations on vectors of one element type (Numba's float32 or float64)."""

    def __init__(self, builder: ir.IRBuilder, element: types.Float) -> None:
        self.builder = builder
        self.bytes = element.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.bytes
        self.scalar: ir.Type = ir.FloatType() if element.bitwidth == 32 else ir.DoubleType()
        self.type = ir.VectorType(self.scalar, self.lanes)
        self.zero = ir.Constant(self.type, None)
        self._name = f"v{self.lanes}f{element.bitwidth}"

    def _call(self, name: str, result: ir.Type, arguments: Sequence[ir.Value]) -> ir.Value:
        signature = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, signature, name)
        return self.builder.call(function, arguments)

    def first_lanes(self, count: ir.Value) -> ir.Value:
        """A mask of the first `count` lanes; all of them where `count` is the vector's width or more."""
        lanes = ir.Constant(ir.VectorType(WORD, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", lanes, self._splat(count))

    def load(self, address: ir.Value, mask: ir.Value | None = None) -> ir.Value:
        """The vector at `address`; lanes outside of `mask` are zero and their memory is not touched."""
        pointer = self.builder.inttoptr(address, self.type.as_pointer())
        if mask is None:
            return self.builder.load(pointer, align=self.bytes)
        align = ir.Constant(_LANE, self.bytes)
        return self._call(f"llvm.masked.load.{self._name}.p0", self.type, [pointer, align, mask, self.zero])

    def load_spread(self, address: ir.Value, step: ir.Value, mask: ir.Value) -> ir.Value:
        """Lane i from `address` + i * `step` bytes; lanes outside of `mask` are zero."""
        lanes = ir.Constant(ir.VectorType(WORD, self.lanes), list(range(self.lanes)))
        places = self.builder.add(self._splat(address), self.builder.mul(lanes, self._splat(step)))
        pointers = self.builder.inttoptr(places, ir.VectorType(self.type.as_pointer(), self.lanes))
        align = ir.Constant(_LANE, self.bytes)
        name = f"llvm.masked.gather.{self._name}.v{self.lanes}p0"
        return self._call(name, self.type, [pointers, align, mask, self.zero])

    def store(self, value: ir.Value, address: ir.Value, mask: ir.Value | None = None) -> None:
        pointer = self.builder.inttoptr(address, self.type.as_pointer())
        if mask is None:
            self.builder.store(value, pointer, align=self.bytes)
        else:
            align = ir.Constant(_LANE, self.bytes)
            self._call(f"llvm.masked.store.{self._name}.p0", ir.VoidType(), [value, pointer, align, mask])

    def broadcast(self, address: ir.Value) -> ir.Value:
        """The element at `address` in every lane."""
        return self._splat(self.builder.load(self.builder.inttoptr(address, self.scalar.as_pointer())))

    def multiply_add(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """x * y + z, rounded once where the processor has an instruction for it."""
        return self._call(f"llvm.fmuladd.{self._name}", self.type, [x, y, z])

    def relu(self, x: ir.Value) -> ir.Value:
        """max(0, x), where NaN stays NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", x, self.zero), self.zero, x)

    def _splat(self, value: ir.Value) -> ir.Value:
        empty = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(_LANE, 0))
        everywhere = ir.Constant(ir.VectorType(_LANE, self.lanes), None)
        return self.builder.shuffle_vector(first, empty, everywhere)


@intrinsic_function
def word_at(typing, address):  # type: ignore[no-untyped-def]
    """The int64 at `address`."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.load(builder.inttoptr(arguments[0], WORD.as_pointer()))

    return types.intp(types.intp), generate


@intrinsic_function
def copy_spread(typing, like, source, step, target, lanes):  # type: ignore[no-untyped-def]
    """Write a vector to address `target`: element i from `source` + i * `step` bytes, zero from `lanes` on."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        _, source, step, target, lanes = arguments
        vectors = Vectors(builder, element_type(like))
        vectors.store(vectors.load_spread(source, step, vectors.first_lanes(lanes)), target)
        return context.get_dummy_value()

    return types.void(like, *[types.intp] * 4), generate


@intrinsic_function
def prefetch(typing, address):  # type: ignore[no-untyped-def]
    """Ask for the cache line at `address`; an address outside of any array does no harm."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        emit_prefetch(builder, arguments[0], write=False)
        return context.get_dummy_value()

    return types.void(types.intp), generate


def emit_prefetch(builder: ir.IRBuilder, address: ir.Value, write: bool) -> None:
    """The cache line at `address`, to be written soon where `write`."""
    pointer = builder.inttoptr(address, ir.IntType(8).as_pointer())
    signature = ir.FunctionType(ir.VoidType(), [pointer.type, _LANE, _LANE, _LANE])
    function = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0")
    # kept in every level of the cache (3), data (1)
    builder.call(function, [pointer, *(ir.Constant(_LANE, value) for value in (int(write), 3, 1))])


class Expression:
    """A vector in Python's arithmetic: `a + b`, `a - b`, `2 * a`."""

    def __init__(self, vectors: Vectors, value: ir.Value) -> None:
        self.vectors, self.value = vectors, value

    def _emit(self, name: str, other: ir.Value) -> Expression:
        operation = getattr(self.vectors.builder, name)
        return Expression(self.vectors, operation(self.value, other, flags=("contract", "nsz")))

    def __add__(self, other: Expression) -> Expression:
        return self._emit("fadd", other.value)

    def __sub__(self, other: Expression) -> Expression:
        return self._emit("fsub", other.value)

    def __rmul__(self, factor: float) -> Expression:
        return self._emit("fmul", ir.Constant(self.vectors.type, [factor] * self.vectors.lanes))


Transform = Callable[[list[Expression]], list[Expression]]


def square_transform(transform: Transform, size: int) -> Transform:
    """`transform` of vectors of length `size`, applied to the columns and then the rows of a square."""

    def both_ways(values: list[Expression]) -> list[Expression]:
        columns = [transform(values[column::size]) for column in range(size)]
        rows = [transform([column[row] for column in columns]) for row in range(len(columns[0]))]
        return [value for row in rows for value in row]

    return both_ways


def transform_intrinsic(
    transform: Transform, inputs: int, gather: bool = False, scatter: bool = False, biased: bool = False
) -> Any:
    """A function for compiled code that transforms `inputs` vectors into as many as `transform` returns.

    `function(like, source, source_step, target, target_step, offset, lanes)`: `like` is an array or a number of
    the element type; vector i is read at byte address source + i * source_step + offset, or with `gather` at
    the i-th address of the int64 list at `source`, plus offset; written likewise. Only the first `lanes`
    elements of each vector are read and, with `scatter`, written; otherwise the rest is written as zero.

    With `biased` it takes two arguments more, `bias` and `relu`: the vector at byte address bias + offset is
    added to each result, and where `relu` is 1, max(0, sum) is written.
    """

    def emit(
        builder: ir.IRBuilder, like: Any, source: ir.Value, source_step: ir.Value, target: ir.Value,
        target_step: ir.Value, offset: ir.Value, lanes: ir.Value, bias: ir.Value = None, relu: ir.Value = None,
    ) -> None:  # fmt: skip
        vectors = Vectors(builder, element_type(like))
        mask = vectors.first_lanes(lanes)

        def address(base: ir.Value, step: ir.Value, index: int, listed: bool) -> ir.Value:
            if listed:
                base = builder.load(builder.gep(builder.inttoptr(base, WORD.as_pointer()), [word(index)]))
            else:
                base = builder.add(base, builder.mul(step, word(index)))
            return builder.add(base, offset)

        values = [
            Expression(vectors, vectors.load(address(source, source_step, index, gather), mask))
            for index in range(inputs)
        ]
        results = [result.value for result in transform(values)]
        if biased:
            shift = vectors.load(builder.add(bias, offset), mask)
            clamped = builder.trunc(relu, ir.IntType(1))
            sums = [builder.fadd(result, shift) for result in results]
            results = [builder.select(clamped, vectors.relu(total), total) for total in sums]
        for index, result in enumerate(results):
            place = address(target, target_step, index, scatter)
            vectors.store(result, place, mask if scatter else None)

    if biased:

        @intrinsic
        def biased_function(  # type: ignore[no-untyped-def]
            typing, like, source, source_step, target, target_step, offset, lanes, bias, relu
        ):
            def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
                emit(builder, like, *arguments[1:])
                return context.get_dummy_value()

            return types.void(like, *[types.intp] * 8), generate

        return biased_function

    @intrinsic
    def function(typing, like, source, source_step, target, target_step, offset, lanes):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            emit(builder, like, *arguments[1:])
            return context.get_dummy_value()

        return types.void(like, *[types.intp] * 6), generate

    return function
