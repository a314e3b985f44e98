"""Vectors of 16 numbers within a kernel, by their addresses, of which a mask may leave out some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils

from izhi.kernels.cpu.matrix_unit import round_to_bfloat16, transposed, widen_bfloat16
from izhi.kernels.cpu.scalars import LITERAL, emitted, everywhere, load_at, repeat, store_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llvmlite.ir import IRBuilder

#: Numbers of a vector.
VECTOR = 16
_I32, _I64 = ir.IntType(32), ir.IntType(64)
IS_BFLOAT16 = {torch.float32: 0, torch.bfloat16: 1}
FLOATS, _HALVES, _FLAGS = (ir.VectorType(kind, VECTOR) for kind in (ir.FloatType(), ir.IntType(16), ir.IntType(1)))


def _masked(builder: IRBuilder, operation: str, kind: ir.VectorType, *operands: ir.Value) -> ir.Value:
    """A load or store of the numbers of a vector that a mask names, at an address."""
    name = f"llvm.masked.{operation}.v{VECTOR}{'f32' if kind is FLOATS else 'i16'}.p0"
    result = kind if operation == "load" else ir.VoidType()
    function = ir.FunctionType(result, [operand.type for operand in operands])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), operands)


def _first_numbers(builder: IRBuilder, count: ir.Value) -> ir.Value:
    """The mask of so many first numbers of a vector."""
    kind = ir.VectorType(_I32, VECTOR)
    counts = everywhere(builder, builder.trunc(count, _I32), VECTOR)
    return builder.icmp_signed("<", ir.Constant(kind, list(range(VECTOR))), counts)


def _load_numbers(builder: IRBuilder, is_bfloat16: int, address: ir.Value, mask: ir.Value) -> ir.Value:
    """16 numbers as float32, 0 where a mask has none."""
    kind = _HALVES if is_bfloat16 else FLOATS
    pointer = builder.inttoptr(address, kind.as_pointer())
    nothing = ir.Constant(kind, [0] * VECTOR) if is_bfloat16 else ir.Constant(kind, [0.0] * VECTOR)
    found = _masked(builder, "load", kind, pointer, ir.Constant(_I32, 2 if is_bfloat16 else 4), mask, nothing)
    return widen_bfloat16(builder, found) if is_bfloat16 else found


def _store_numbers(builder: IRBuilder, is_bfloat16: int, value: ir.Value, address: ir.Value, mask: ir.Value) -> None:
    """Those of 16 float32 that a mask names, in their format."""
    kind = _HALVES if is_bfloat16 else FLOATS
    value = round_to_bfloat16(builder, value) if is_bfloat16 else value
    pointer = builder.inttoptr(address, kind.as_pointer())
    _masked(builder, "store", kind, value, pointer, ir.Constant(_I32, 2 if is_bfloat16 else 4), mask)


def _row(builder: IRBuilder, start: ir.Value, apart: ir.Value, k: int) -> ir.Value:
    return builder.add(start, builder.mul(apart, ir.Constant(_I64, k)))


def _mask_of_row(builder: IRBuilder, mask: ir.Value, rows: ir.Value, k: int) -> ir.Value:
    """A mask for row k of so many, none behind the last one."""
    nothing = ir.Constant(_FLAGS, [0] * VECTOR)
    return builder.select(builder.icmp_signed("<", ir.Constant(_I64, k), rows), mask, nothing)


@emitted(types.none, LITERAL, *[types.int64] * 6)
def turn_in(
    builder: IRBuilder, is_bfloat16: int, source: ir.Value, apart: ir.Value, rows: ir.Value, columns: ir.Value,
    target: ir.Value, beside: ir.Value,
) -> None:  # fmt: skip
    """At most 16 rows and columns of numbers → 16 columns of 16 float32, zeros behind the last row and column.

    By their addresses; rows lie ``apart`` bytes from each other, and columns ``beside``.
    """
    mask = _first_numbers(builder, columns)
    lines = [
        _load_numbers(builder, is_bfloat16, _row(builder, source, apart, k), _mask_of_row(builder, mask, rows, k))
        for k in range(VECTOR)
    ]
    for k, column in enumerate(transposed(builder, lines)):
        store_at(builder, column, _row(builder, target, beside, k))


@emitted(types.none, LITERAL, *[types.int64] * 6)
def turn_out(
    builder: IRBuilder, is_bfloat16: int, source: ir.Value, apart: ir.Value, target: ir.Value, beside: ir.Value,
    rows: ir.Value, columns: ir.Value,
) -> None:  # fmt: skip
    """16 columns of 16 float32 → at most 16 rows and columns of numbers; the reverse of ``turn_in``."""
    mask = _first_numbers(builder, columns)
    lines = [load_at(builder, _row(builder, source, apart, k), FLOATS) for k in range(VECTOR)]
    for k, line in enumerate(transposed(builder, lines)):
        _store_numbers(
            builder, is_bfloat16, line, _row(builder, target, beside, k), _mask_of_row(builder, mask, rows, k)
        )


@emitted(types.uint32, LITERAL, *[types.int64] * 2)
def nonzero(builder: IRBuilder, is_bfloat16: int, address: ir.Value, count: ir.Value) -> ir.Value:
    """Which of at most 16 numbers at an address are not 0, a bit each."""
    x = _load_numbers(builder, is_bfloat16, address, _first_numbers(builder, count))
    flags = builder.fcmp_unordered("!=", x, ir.Constant(FLOATS, [0.0] * VECTOR))
    return builder.zext(builder.bitcast(flags, ir.IntType(VECTOR)), _I32)


def _part(builder: IRBuilder, start: ir.Value, v: int) -> ir.Value:
    """The address of a vector of a row."""
    return builder.add(start, ir.Constant(_I64, 4 * VECTOR * v))


@emitted(types.none, LITERAL, types.float32, *[types.int64] * 2)
def add_scaled(builder: IRBuilder, vectors: int, factor: ir.Value, row: ir.Value, into: ir.Value) -> None:
    """into += factor·row, so many vectors by their addresses."""
    weight = everywhere(builder, factor, VECTOR)
    for v in range(vectors):
        more, total = (load_at(builder, _part(builder, start, v), FLOATS) for start in (row, into))
        store_at(builder, multiply_add(builder, weight, more, total), _part(builder, into, v))


@emitted(types.none, LITERAL, *[types.int64] * 5)
def add_listed(
    builder: IRBuilder, vectors: int, places: ir.Value, factors: ir.Value, count: ir.Value, rows: ir.Value,
    into: ir.Value,
) -> None:  # fmt: skip
    """into += Σ_k factors[k]·rows[places[k] …] over k < count, so many vectors each, by their addresses."""

    def add(k: ir.Value, *totals: ir.Value) -> tuple[Sequence[ir.Value], ir.Value]:
        skipped = builder.shl(k, ir.Constant(_I64, 2))
        factor = everywhere(builder, load_at(builder, builder.add(factors, skipped), ir.FloatType()), VECTOR)
        place = builder.sext(load_at(builder, builder.add(places, skipped), _I32), _I64)
        row = builder.add(rows, builder.shl(place, ir.Constant(_I64, 2)))
        after = [
            multiply_add(builder, factor, load_at(builder, _part(builder, row, v), FLOATS), total)
            for v, total in enumerate(totals)
        ]
        following = builder.add(k, ir.Constant(_I64, 1))
        return (following, *after), builder.icmp_signed("<", following, count)

    none = ir.Constant(_I64, 0)
    starts = none, *(load_at(builder, _part(builder, into, v), FLOATS) for v in range(vectors))
    _, *found = repeat(builder, starts, add, builder.icmp_signed(">", count, none))
    for v, total in enumerate(found):
        store_at(builder, total, _part(builder, into, v))


def multiply_add(builder: IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a·b + c of vectors, rounded once where the CPU has an instruction for that."""
    kind = ir.FunctionType(FLOATS, [FLOATS] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{VECTOR}f32"), (a, b, c))
