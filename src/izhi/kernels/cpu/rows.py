"""Rows of float32 within a kernel, by their addresses: copied, added, and summed in registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from izhi.compiled import inlined
from izhi.kernels.cpu.bits import lowest_bit
from izhi.kernels.cpu.scalars import LITERAL, emitted, everywhere, load_at, repeat, store_at
from izhi.kernels.ops import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llvmlite.ir import IRBuilder

#: Lengths of rows: for few neurons such as a readout's, and for parts of many, of which a sum fits the registers.
SMALL_OUTPUT, OUTPUT_BLOCK = 16, 64
#: Rows in a group of which every sum is made first: a bit each.
GROUP = 4
_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _adder(size: int, subtracts: bool = False) -> Value:
    """An intrinsic for rows of so many float32: into ± Σ_k rows[places[k]] over k < count, all by their addresses."""

    @emitted(types.none, *[types.int64] * 4)
    def add_rows(builder: IRBuilder, rows: ir.Value, places: ir.Value, count: ir.Value, into: ir.Value) -> None:
        kind = ir.VectorType(ir.FloatType(), size)
        none = ir.Constant(_I64, 0)

        def add(k: ir.Value, total: ir.Value) -> tuple[Sequence[ir.Value], ir.Value]:
            place = load_at(builder, builder.add(places, builder.mul(k, ir.Constant(_I64, 4))), _I32)
            from_start = builder.mul(builder.zext(place, _I64), ir.Constant(_I64, 4 * size))
            row = load_at(builder, builder.add(rows, from_start), kind)
            after = builder.fsub(total, row) if subtracts else builder.fadd(total, row)
            following = builder.add(k, ir.Constant(_I64, 1))
            return (following, after), builder.icmp_signed("<", following, count)

        starts = none, load_at(builder, into, kind)
        _, found = repeat(builder, starts, add, builder.icmp_signed(">", count, none))
        store_at(builder, found, into)

    return add_rows


# Known to the kernels by name: one that captured an intrinsic would never be found again in the cache on disk.
_add_narrow_rows, _add_wide_rows = _adder(SMALL_OUTPUT), _adder(OUTPUT_BLOCK)
_subtract_narrow_rows, _subtract_wide_rows = _adder(SMALL_OUTPUT, subtracts=True), _adder(OUTPUT_BLOCK, subtracts=True)


@inlined
def add_rows(size: Value, rows: Value, places: Value, count: Value, into: Value) -> None:
    """The adder for rows of one of these sizes."""
    if size == SMALL_OUTPUT:
        _add_narrow_rows(rows, places, count, into)
    else:
        _add_wide_rows(rows, places, count, into)


@inlined
def subtract_rows(size: Value, rows: Value, places: Value, count: Value, into: Value) -> None:
    """The same that subtracts."""
    if size == SMALL_OUTPUT:
        _subtract_narrow_rows(rows, places, count, into)
    else:
        _subtract_wide_rows(rows, places, count, into)


@inlined
def list_bits(word: Value, first: Value, places: Value, count: Value) -> Value:
    """Put where a word has bits, counted from ``first``, behind so many places; how many there are then."""
    while word != 0:
        places[count] = np.int32(first) + np.int32(lowest_bit(word))
        count += 1
        word = np.uint32(word & np.uint32(word - np.uint32(1)))
    return count


@emitted(types.int64, types.uint32, *[types.int64] * 3)
def list_names(builder: IRBuilder, word: ir.Value, names: ir.Value, places: ir.Value, count: ir.Value) -> ir.Value:
    """Put the names of a word's bits behind so many places, int32 by their addresses; how many there are then."""
    nothing, size = ir.Constant(_I32, 0), ir.Constant(_I64, 4)

    def put(left: ir.Value, k: ir.Value) -> tuple[Sequence[ir.Value], ir.Value]:
        bit = builder.zext(builder.cttz(left, cgutils.true_bit), _I64)
        name = load_at(builder, builder.add(names, builder.mul(bit, size)), _I32)
        store_at(builder, name, builder.add(places, builder.mul(k, size)))
        rest = builder.and_(left, builder.sub(left, ir.Constant(_I32, 1)))
        return (rest, builder.add(k, ir.Constant(_I64, 1))), builder.icmp_unsigned("!=", rest, nothing)

    return repeat(builder, (word, count), put, builder.icmp_unsigned("!=", word, nothing))[1]


@emitted(types.none, *[types.int64] * 4)
def add_row_to(builder: IRBuilder, row: ir.Value, places: ir.Value, count: ir.Value, into: ir.Value) -> None:
    """into[places[k]] += row over k < count, by their addresses; rows of ``OUTPUT_BLOCK`` float32."""
    kind, size = ir.VectorType(ir.FloatType(), OUTPUT_BLOCK), ir.Constant(_I64, 4 * OUTPUT_BLOCK)
    none, added = ir.Constant(_I64, 0), load_at(builder, row, kind)

    def add(k: ir.Value) -> tuple[Sequence[ir.Value], ir.Value]:
        place = load_at(builder, builder.add(places, builder.mul(k, ir.Constant(_I64, 4))), _I32)
        target = builder.add(into, builder.mul(builder.zext(place, _I64), size))
        store_at(builder, builder.fadd(load_at(builder, target, kind), added), target)
        following = builder.add(k, ir.Constant(_I64, 1))
        return (following,), builder.icmp_signed("<", following, count)

    repeat(builder, (none,), add, builder.icmp_signed(">", count, none))


@emitted(types.none, *[types.int64] * 4)
def scatter_rows(builder: IRBuilder, rows: ir.Value, places: ir.Value, count: ir.Value, into: ir.Value) -> None:
    """into[places[k]] += rows[k] over k < count, by their addresses; rows of ``OUTPUT_BLOCK`` float32."""
    kind, size = ir.VectorType(ir.FloatType(), OUTPUT_BLOCK), ir.Constant(_I64, 4 * OUTPUT_BLOCK)
    none = ir.Constant(_I64, 0)

    def add(k: ir.Value) -> tuple[Sequence[ir.Value], ir.Value]:
        place = load_at(builder, builder.add(places, builder.mul(k, ir.Constant(_I64, 4))), _I32)
        target = builder.add(into, builder.mul(builder.zext(place, _I64), size))
        row = load_at(builder, builder.add(rows, builder.mul(k, size)), kind)
        store_at(builder, builder.fadd(load_at(builder, target, kind), row), target)
        following = builder.add(k, ir.Constant(_I64, 1))
        return (following,), builder.icmp_signed("<", following, count)

    repeat(builder, (none,), add, builder.icmp_signed(">", count, none))


def _adder_of_sums(size: int) -> Value:
    """An intrinsic for rows of so many float32, by addresses: into += Σ_g tables[g, (word ≫ 4·g) & 15], g < groups."""

    @emitted(types.none, types.int64, types.uint32, types.int64, types.int64)
    def add_sums(builder: IRBuilder, tables: ir.Value, word: ir.Value, groups: ir.Value, into: ir.Value) -> None:
        kind = ir.VectorType(ir.FloatType(), size)

        def add(g: ir.Value, left: ir.Value, total: ir.Value) -> tuple[Sequence[ir.Value], ir.Value]:
            subset = builder.zext(builder.and_(left, ir.Constant(_I32, (1 << GROUP) - 1)), _I64)
            place = builder.or_(builder.shl(g, ir.Constant(_I64, GROUP)), subset)
            row = load_at(builder, builder.add(tables, builder.mul(place, ir.Constant(_I64, 4 * size))), kind)
            following, rest = builder.add(g, ir.Constant(_I64, 1)), builder.lshr(left, ir.Constant(_I32, GROUP))
            return (following, rest, builder.fadd(total, row)), builder.icmp_signed("<", following, groups)

        found = repeat(builder, (ir.Constant(_I64, 0), word, load_at(builder, into, kind)), add)
        store_at(builder, found[2], into)

    return add_sums


_add_narrow_sums, _add_wide_sums = _adder_of_sums(SMALL_OUTPUT), _adder_of_sums(OUTPUT_BLOCK)


@inlined
def add_sums(size: Value, tables: Value, word: Value, groups: Value, into: Value) -> None:
    """The adder of sums for rows of one of these sizes."""
    if size == SMALL_OUTPUT:
        _add_narrow_sums(tables, word, groups, into)
    else:
        _add_wide_sums(tables, word, groups, into)


def _summer(size: int) -> Value:
    """An intrinsic: of up to four rows of so many float32, the sums of each subset but the empty one, by addresses."""

    @emitted(types.none, *[types.int64] * 3)
    def sum_group(builder: IRBuilder, rows: ir.Value, count: ir.Value, sums: ir.Value) -> None:
        kind = ir.VectorType(ir.FloatType(), SMALL_OUTPUT)
        for part in range(0, size, SMALL_OUTPUT):
            done = builder.append_basic_block("done")
            subsets: list[ir.Value] = []
            for j in range(GROUP):
                more = builder.append_basic_block("row")
                builder.cbranch(builder.icmp_signed(">", count, ir.Constant(_I64, j)), more, done)
                builder.position_at_end(more)
                row = load_at(builder, builder.add(rows, ir.Constant(_I64, 4 * (size * j + part))), kind)
                subsets += [row, *(builder.fadd(subset, row) for subset in subsets)]
                for k in range(1 << j, 2 << j):
                    place = builder.add(sums, ir.Constant(_I64, 4 * (size * k + part)))
                    store_at(builder, subsets[k - 1], place)
            builder.branch(done)
            builder.position_at_end(done)

    return sum_group


_sum_narrow_group, _sum_wide_group = _summer(SMALL_OUTPUT), _summer(OUTPUT_BLOCK)


@inlined
def sum_subsets(size: Value, rows: Value, length: Value, sums: Value) -> None:
    """Of every four rows, the sums of each subset: (length, size) → (⌈length/4⌉, 16, size), by their addresses.

    Sums with rows beyond the last one are left as they are: no word has a bit for these.
    """
    for first in range(0, length, GROUP):
        source, target = rows + 4 * size * first, sums + 4 * size * (1 << GROUP) * (first // GROUP)
        if size == SMALL_OUTPUT:
            _sum_narrow_group(source, min(GROUP, length - first), target)
        else:
            _sum_wide_group(source, min(GROUP, length - first), target)


@emitted(types.none, *[types.int64] * 5)
def weigh_rows(
    builder: IRBuilder, factors: ir.Value, rows: ir.Value, apart: ir.Value, count: ir.Value, into: ir.Value
) -> None:
    """into = Σ_k factors[k]·rows[k] over k < count, an even number above 0, by their addresses.

    Rows of ``OUTPUT_BLOCK`` float32 lie ``apart`` bytes from each other. Products are summed in pairs first.
    """
    kind, parts = ir.VectorType(ir.FloatType(), SMALL_OUTPUT), range(OUTPUT_BLOCK // SMALL_OUTPUT)

    def part_of(row: ir.Value, part: int) -> ir.Value:
        return builder.add(row, ir.Constant(_I64, 4 * SMALL_OUTPUT * part))

    def add_pair(first: ir.Value, *totals: ir.Value) -> tuple[Sequence[ir.Value], ir.Value]:
        weights, places = [], []
        for j in range(2):
            k = builder.add(first, ir.Constant(_I64, j))
            factor = load_at(builder, builder.add(factors, builder.mul(k, ir.Constant(_I64, 4))), ir.FloatType())
            weights.append(everywhere(builder, factor, SMALL_OUTPUT))
            places.append(builder.add(rows, builder.mul(k, apart)))
        after = []
        for part, total in zip(parts, totals, strict=True):
            a, b = (
                builder.fmul(weight, load_at(builder, part_of(place, part), kind))
                for weight, place in zip(weights, places, strict=True)
            )
            after.append(builder.fadd(total, builder.fadd(a, b)))
        following = builder.add(first, ir.Constant(_I64, 2))
        return (following, *after), builder.icmp_signed("<", following, count)

    nothing = ir.Constant(kind, [0.0] * SMALL_OUTPUT)
    _, *found = repeat(builder, (ir.Constant(_I64, 0), *[nothing] * len(parts)), add_pair)
    for part, total in zip(parts, found, strict=True):
        store_at(builder, total, part_of(into, part))


@emitted(types.none, LITERAL, *[types.int64] * 2)
def copy_row(builder: IRBuilder, size: int, source: ir.Value, target: ir.Value) -> None:
    """A row of so many float32 from one address to another."""
    store_at(builder, load_at(builder, source, ir.VectorType(ir.FloatType(), size)), target)


@emitted(types.none, LITERAL, types.int64)
def prefetch_row(builder: IRBuilder, size: int, address: ir.Value) -> None:
    """Ask for a row of so many float32 to be in the cache soon."""
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
    fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    for line in range(0, 4 * size, 64):
        place = builder.inttoptr(builder.add(address, ir.Constant(_I64, line)), pointer)
        builder.call(fetch, [place, *(ir.Constant(_I32, x) for x in (0, 2, 1))])


@emitted(types.none, types.int64)
def prefetch_for_write(builder: IRBuilder, address: ir.Value) -> None:
    """Ask for the line of the cache at an address, to be written soon."""
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
    fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(fetch, [builder.inttoptr(address, pointer), *(ir.Constant(_I32, x) for x in (1, 3, 1))])
