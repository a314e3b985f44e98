"""Products of tiles of bfloat16, by a matrix unit or by vectors, and what feeds them, by LLVM's intrinsics.

A tile is 16 rows of 64 bytes, of which there are eight, known by their numbers; a product of two tiles of bfloat16
adds 16 rows × 32 numbers times 32 × 16 to 16 × 16 sums in float32. The right one holds pairs of rows interleaved:
row k is (m[2k, 0], m[2k + 1, 0], m[2k, 1], m[2k + 1, 1], …).

On x86 CPUs with a matrix unit (AMX) tiles are its registers: kernels configure the unit when they begin, and release
it when they end. On others tiles are memory of the kernel, which the first-level cache holds, and pairs of bfloat16
are multiplied in vectors (AVX-512 BF16), or as float32 where the CPU has neither; only tests use the last.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18, and volume 2, VDPBF16PS.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from llvmlite import ir
from numba import types
from torch import Tensor

from izhi.compiled import inlined
from izhi.kernels.cpu.scalars import LITERAL, compiles_for, emitted, everywhere, load_at, repeat, store_at
from izhi.kernels.ops import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llvmlite.ir import IRBuilder

#: Rows of a tile, numbers in bfloat16 of one of its rows, and bytes of a whole one.
TILE_ROWS, TILE_PAIRS, TILE_BYTES = 16, 32, 1024
_TILES = 8
_UNIT = ("amx-tile", "amx-bf16", "avx512f", "avx512bw")
_VECTORS = ("avx512bf16", "avx512f", "avx512bw")
_I8, _I16, _I32, _I64 = (ir.IntType(n) for n in (8, 16, 32, 64))
_BYTES = _I8.as_pointer()
_HALVES = ir.VectorType(_I16, TILE_PAIRS)
_SUMS = ir.VectorType(ir.FloatType(), TILE_ROWS)
_WORDS = ir.VectorType(_I32, TILE_ROWS)
#: Linux's request for a feature whose state is large, and the number of the tiles' data.
_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XTILEDATA = 158, 0x1023, 18
#: Where a configuration has the rows of tile 0, in bytes; those of the others follow.
_ROWS_AT = 48
#: Rows of sums come in whole groups of so many, with a function for each number of groups.
_GROUP = 4


@cache
def has_unit() -> bool:
    """Whether the CPU has a matrix unit, the system lets this process use it, and Numba compiles for it."""
    if sys.platform != "linux" or not compiles_for(_UNIT):
        return False
    try:
        return bool(ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XTILEDATA) == 0)
    except (OSError, AttributeError):
        return False


@cache
def has_bf16_dot() -> bool:
    """Whether tiles are multiplied faster than float32, by a matrix unit or by vectors."""
    return has_unit() or compiles_for(_VECTORS)


def name() -> str:
    """What multiplies tiles, as users know it."""
    return "matrix unit" if has_unit() else "vectors of bfloat16"


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite does not know."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_PAIRS = ir.VectorType(_BFloat(), TILE_PAIRS)


def _emit(builder: IRBuilder, name: str, tiles: Sequence[int], memory: Sequence[ir.Value] = ()) -> None:
    """An instruction on tiles, whose numbers are part of it, and on an address, with a stride or without."""
    values = [ir.Constant(_I8, tile) for tile in tiles]
    if memory:
        values += [builder.inttoptr(memory[0], _BYTES), *memory[1:]]
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(builder.module.declare_intrinsic(f"llvm.x86.{name}", (), kind), values)


def _moved(builder: IRBuilder, address: ir.Value, by: int | ir.Value) -> ir.Value:
    return builder.add(address, ir.Constant(_I64, by) if isinstance(by, int) else by)


def _for_rows(builder: IRBuilder, count: ir.Value, body: Callable[[ir.Value], None]) -> None:
    """Do something for each row of a tile, of which there is one at least."""

    def turn(k: ir.Value) -> tuple[Sequence[ir.Value], ir.Value]:
        body(k)
        following = builder.add(k, ir.Constant(_I64, 1))
        return (following,), builder.icmp_signed("<", following, count)

    repeat(builder, (ir.Constant(_I64, 0),), turn)


def _tile(builder: IRBuilder, tiles: ir.Value, number: int) -> ir.Value:
    """The address of a tile in memory."""
    return _moved(builder, tiles, number * TILE_BYTES)


def _rows_of(builder: IRBuilder, tiles: ir.Value, number: int) -> ir.Value:
    """How many rows a tile in memory was given."""
    return builder.zext(load_at(builder, _moved(builder, tiles, _TILES * TILE_BYTES + _ROWS_AT + number), _I8, 1), _I64)


def _copy_rows(
    builder: IRBuilder, count: ir.Value, source: ir.Value, apart: ir.Value, target: ir.Value, beside: ir.Value
) -> None:
    """Rows of 64 bytes from one address to another, with their distances in bytes."""

    def copy(k: ir.Value) -> None:
        row = load_at(builder, _moved(builder, source, builder.mul(k, apart)), _SUMS)
        store_at(builder, row, _moved(builder, target, builder.mul(k, beside)))

    _for_rows(builder, count, copy)


def _add_products(builder: IRBuilder, total: ir.Value, left: ir.Value, right: ir.Value) -> ir.Value:
    """total + the products of 16 pairs of bfloat16, words of 32 bits: of the second numbers, then of the first."""
    if compiles_for(_VECTORS):
        kind = ir.FunctionType(_SUMS, [_SUMS, _PAIRS, _PAIRS])
        multiply = builder.module.declare_intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", (), kind)
        return builder.call(multiply, [total, builder.bitcast(left, _PAIRS), builder.bitcast(right, _PAIRS)])
    upper, places = ir.Constant(_WORDS, [0xFFFF0000] * TILE_ROWS), ir.Constant(_WORDS, [16] * TILE_ROWS)
    second = [builder.bitcast(builder.and_(x, upper), _SUMS) for x in (left, right)]
    first = [builder.bitcast(builder.shl(x, places), _SUMS) for x in (left, right)]
    return builder.fadd(builder.fadd(total, builder.fmul(*second)), builder.fmul(*first))


def _multiplier(module: ir.Module, rows: int) -> ir.Function:
    """A function of three tiles' addresses: so many rows of sums += left·right, the sums in registers."""
    address = [_I64] * 3
    called = f"izhi_multiply_{rows}_rows"
    if called in module.globals:
        return module.globals[called]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), address), called)
    function.linkage = "internal"
    set.add(function.attributes, '"prefer-vector-width"="512"')
    builder = ir.IRBuilder(function.append_basic_block())
    sums, left, right = function.args

    def add_pair(k: ir.Value, *totals: ir.Value) -> tuple[Sequence[ir.Value], ir.Value]:
        of_right = load_at(builder, _moved(builder, right, builder.mul(k, ir.Constant(_I64, 64))), _WORDS, 64)
        of_left = _moved(builder, left, builder.mul(k, ir.Constant(_I64, 4)))
        after = []
        for row, total in enumerate(totals):
            spread = everywhere(builder, load_at(builder, _moved(builder, of_left, 64 * row), _I32), 16)
            after.append(_add_products(builder, total, spread, of_right))
        following = builder.add(k, ir.Constant(_I64, 1))
        return (following, *after), builder.icmp_signed("<", following, ir.Constant(_I64, TILE_ROWS))

    first = [load_at(builder, _moved(builder, sums, 64 * row), _SUMS, 64) for row in range(rows)]
    _, *found = repeat(builder, (ir.Constant(_I64, 0), *first), add_pair)
    for row in range(rows):
        builder.store(found[row], builder.inttoptr(_moved(builder, sums, 64 * row), _SUMS.as_pointer()), align=64)
    builder.ret_void()
    return function


def _multiply(builder: IRBuilder, tiles: ir.Value, sums: int, left: int, right: int) -> None:
    """sums += left·right in memory; rows of sums in whole groups of 4, so that few rows are little work."""
    rows, end = _rows_of(builder, tiles, sums), builder.append_basic_block("multiplied")
    addresses = [_tile(builder, tiles, number) for number in (sums, left, right)]
    cases = range(_GROUP, TILE_ROWS + 1, _GROUP)
    group = builder.udiv(_moved(builder, rows, _GROUP - 1), ir.Constant(_I64, _GROUP))
    switch = builder.switch(group, end)
    for count in cases:
        block = builder.append_basic_block(f"rows_{count}")
        switch.add_case(ir.Constant(_I64, count // _GROUP), block)
        with builder.goto_block(block):
            builder.call(_multiplier(builder.module, count), addresses)
            builder.branch(end)
    builder.position_at_end(end)


@emitted(types.int64, LITERAL)
def tile_memory(builder: IRBuilder, by_unit: int) -> ir.Value:
    """The address of the tiles of a kernel, which asks for it in its own body; 0 if they are the unit's.

    ``by_unit`` is what ``has_unit`` says, by which Numba's cache tells the two kinds of kernels apart.
    """
    if by_unit:
        return ir.Constant(_I64, 0)
    with builder.goto_entry_block():
        room = builder.alloca(_I8, _TILES * TILE_BYTES + 64)
        room.align = 64
    return builder.ptrtoint(room, _I64)


@emitted(types.none, types.int64, types.int64)
def _configure(builder: IRBuilder, tiles: ir.Value, address: ir.Value) -> None:
    if has_unit():
        _emit(builder, "ldtilecfg", (), (address,))
    else:
        store_at(builder, load_at(builder, address, _SUMS), _tile(builder, tiles, _TILES))


@emitted(types.none)
def release_tiles(builder: IRBuilder) -> None:
    """Give the unit back."""
    if has_unit():
        _emit(builder, "tilerelease", ())


@emitted(types.none, types.int64, LITERAL)
def zero_tile(builder: IRBuilder, tiles: ir.Value, tile: int) -> None:
    """Fill a tile, by its number, with zeros."""
    if has_unit():
        _emit(builder, "tilezero", (tile,))
    else:
        for row in range(TILE_ROWS):
            address = _moved(builder, _tile(builder, tiles, tile), 64 * row)
            store_at(builder, ir.Constant(_SUMS, [0.0] * TILE_ROWS), address)


@emitted(types.none, types.int64, LITERAL, types.int64, types.int64)
def load_tile(builder: IRBuilder, tiles: ir.Value, tile: int, address: ir.Value, stride: ir.Value) -> None:
    """Fill a tile with its rows of memory, which lie ``stride`` bytes apart."""
    number = tile
    if has_unit():
        _emit(builder, "tileloadd64", (number,), (address, stride))
    else:
        rows, width = _rows_of(builder, tiles, number), ir.Constant(_I64, 64)
        _copy_rows(builder, rows, address, stride, _tile(builder, tiles, number), width)


@emitted(types.none, types.int64, LITERAL, types.int64, types.int64)
def store_tile(builder: IRBuilder, tiles: ir.Value, tile: int, address: ir.Value, stride: ir.Value) -> None:
    """Put the rows of a tile into memory, ``stride`` bytes apart."""
    number = tile
    if has_unit():
        _emit(builder, "tilestored64", (number,), (address, stride))
    else:
        rows, width = _rows_of(builder, tiles, number), ir.Constant(_I64, 64)
        _copy_rows(builder, rows, _tile(builder, tiles, number), width, address, stride)


@emitted(types.none, types.int64, LITERAL, LITERAL, LITERAL)
def multiply_tiles(builder: IRBuilder, tiles: ir.Value, sums: int, left: int, right: int) -> None:
    """sums += left·right, tiles by their numbers; left and right in bfloat16, sums in float32."""
    numbers = (sums, left, right)
    if has_unit():
        _emit(builder, "tdpbf16ps", numbers)
    else:
        _multiply(builder, tiles, *numbers)


@inlined
def zero_sums(tiles: Value) -> None:
    """Fill tiles 0 to 3 with zeros."""
    zero_tile(tiles, 0)
    zero_tile(tiles, 1)
    zero_tile(tiles, 2)
    zero_tile(tiles, 3)


@inlined
def add_group(tiles: Value, left: Value, right: Value, is_short: Value) -> None:
    """Add the product of two tiles below each other, or of the upper one, with two beside each other to the sums."""
    load_tile(tiles, 4, left, 64)
    load_tile(tiles, 6, right, 64)
    load_tile(tiles, 7, right + TILE_BYTES, 64)
    multiply_tiles(tiles, 0, 4, 6)
    multiply_tiles(tiles, 1, 4, 7)
    if not is_short:
        load_tile(tiles, 5, left + TILE_BYTES, 64)
        multiply_tiles(tiles, 2, 5, 6)
        multiply_tiles(tiles, 3, 5, 7)


@inlined
def store_sums(tiles: Value, to: Value, apart: Value, is_short: Value) -> None:
    """Put 32 × 32 sums, tiles 0 to 3, into rows ``apart`` bytes from each other; only the upper 16 if ``is_short``."""
    store_tile(tiles, 0, to, apart)
    store_tile(tiles, 1, to + 64, apart)
    if not is_short:
        store_tile(tiles, 2, to + TILE_ROWS * apart, apart)
        store_tile(tiles, 3, to + TILE_ROWS * apart + 64, apart)


@inlined
def configure_tiles(tiles: Value, upper: Value, lower: Value) -> None:
    """Give the tiles for the upper half of 32 rows, 0, 1 and 4, and for the lower half, 2, 3 and 5, so many rows each.

    Tiles 6 and 7 are whole ones.
    """
    config = np.zeros(64, np.uint8)
    config[0] = 1  # the palette
    for tile in range(8):
        config[16 + 2 * tile] = 64
        config[48 + tile] = TILE_ROWS
    config[48], config[49], config[52] = upper, upper, upper
    config[50], config[51], config[53] = lower, lower, lower
    _configure(tiles, config.ctypes.data)


def _at(builder: IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    return builder.inttoptr(address, kind.as_pointer())


def _ones_where(builder: IRBuilder, mask: ir.Value) -> ir.Value:
    """bfloat16 1 where a mask is set, else 0."""
    return builder.select(mask, ir.Constant(_HALVES, [0x3F80] * TILE_PAIRS), ir.Constant(_HALVES, [0] * TILE_PAIRS))


@emitted(types.none, *[types.int64] * 2)
def spread_words(builder: IRBuilder, words: ir.Value, target: ir.Value) -> None:
    """16 words at an address → a tile of bfloat16 at another: the bits of each."""
    for k in range(TILE_ROWS):
        word = load_at(builder, builder.add(words, ir.Constant(_I64, 4 * k)), _I32)
        mask = builder.bitcast(word, ir.VectorType(ir.IntType(1), TILE_PAIRS))
        place = builder.add(target, ir.Constant(_I64, 64 * k))
        builder.store(_ones_where(builder, mask), _at(builder, place, _HALVES), align=64)


@emitted(types.none, *[types.int64] * 3)
def spread_step(builder: IRBuilder, words: ir.Value, step: ir.Value, target: ir.Value) -> None:
    """32 words side by side → 32 numbers in bfloat16: bit ``step`` of each; all by their addresses."""
    kind = ir.VectorType(_I32, TILE_PAIRS)
    bit = builder.shl(ir.Constant(_I32, 1), builder.trunc(step, _I32))
    found = builder.and_(load_at(builder, words, kind), everywhere(builder, bit, TILE_PAIRS))
    mask = builder.icmp_unsigned("!=", found, ir.Constant(kind, [0] * TILE_PAIRS))
    builder.store(_ones_where(builder, mask), _at(builder, target, _HALVES), align=64)


@emitted(types.none, *[types.int64] * 3)
def interleave_rows(builder: IRBuilder, first: ir.Value, second: ir.Value, target: ir.Value) -> None:
    """Two rows of 32 numbers in bfloat16 → a row of 16 pairs in each of two tiles side by side.

    Columns change their places, by what one instruction does: see ``INTERLEAVED``.
    """
    one, other = (load_at(builder, address, _HALVES, align=2) for address in (first, second))
    for k, columns in enumerate((INTERLEAVED[:16], INTERLEAVED[16:])):
        order = [place for column in columns for place in (column, TILE_PAIRS + column)]
        pairs = builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_I32, TILE_PAIRS), order))
        place = builder.add(target, ir.Constant(_I64, TILE_BYTES * k))
        builder.store(pairs, _at(builder, place, _HALVES), align=64)


#: Column j of interleaved rows is column INTERLEAVED[j] of the input: the lower halves of every 8, then the upper ones.
INTERLEAVED = [8 * lane + k for half in (0, 4) for lane in range(4) for k in range(half, half + 4)]


@emitted(types.none, LITERAL, *[types.int64] * 3)
def pair_rows(builder: IRBuilder, size: int, first: ir.Value, second: ir.Value, target: ir.Value) -> None:
    """Two rows of so many numbers in bfloat16 → a row of 16 pairs in each of size/16 tiles side by side, in order."""
    count = size
    one, other = (load_at(builder, address, ir.VectorType(_I16, count), align=2) for address in (first, second))
    for k in range(count // TILE_ROWS):
        order = [place for column in range(16 * k, 16 * (k + 1)) for place in (column, count + column)]
        pairs = builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_I32, TILE_PAIRS), order))
        place = builder.add(target, ir.Constant(_I64, TILE_BYTES * k))
        builder.store(pairs, _at(builder, place, pairs.type), align=64)


@emitted(types.none, LITERAL, *[types.int64] * 3)
def pair_floats(builder: IRBuilder, size: int, first: ir.Value, second: ir.Value, target: ir.Value) -> None:
    """The same of rows in float32, which are rounded."""
    kind = ir.VectorType(ir.FloatType(), TILE_ROWS)
    together = ir.Constant(ir.VectorType(_I32, TILE_PAIRS), list(range(TILE_PAIRS)))
    order = [place for column in range(TILE_ROWS) for place in (column, TILE_ROWS + column)]
    for k in range(size // TILE_ROWS):
        rows = [load_at(builder, builder.add(address, ir.Constant(_I64, 64 * k)), kind) for address in (first, second)]
        rounded = round_to_bfloat16(builder, builder.shuffle_vector(*rows, together))
        undefined = ir.Constant(rounded.type, ir.Undefined)
        pairs = builder.shuffle_vector(rounded, undefined, ir.Constant(ir.VectorType(_I32, TILE_PAIRS), order))
        place = builder.add(target, ir.Constant(_I64, TILE_BYTES * k))
        builder.store(pairs, _at(builder, place, pairs.type), align=64)


def round_to_bfloat16(builder: IRBuilder, x: ir.Value) -> ir.Value:
    """float32 → bfloat16, as its bits, to the nearest, and to even."""
    if compiles_for(_VECTORS):
        rounded = builder.fptrunc(x, ir.VectorType(_BFloat(), x.type.count))
        return builder.bitcast(rounded, ir.VectorType(_I16, x.type.count))
    kind = ir.VectorType(_I32, x.type.count)
    words, places, one, half = (
        builder.bitcast(x, kind), *(ir.Constant(kind, [number] * x.type.count) for number in (16, 1, 0x7FFF)),
    )  # fmt: skip
    odd = builder.and_(builder.lshr(words, places), one)
    nearest = builder.lshr(builder.add(words, builder.add(half, odd)), places)
    return builder.trunc(nearest, ir.VectorType(_I16, x.type.count))


def widen_bfloat16(builder: IRBuilder, halves: ir.Value) -> ir.Value:
    """bfloat16, as its bits, → float32."""
    count = halves.type.count
    words = builder.zext(halves, ir.VectorType(_I32, count))
    places = ir.Constant(words.type, [16] * count)
    return builder.bitcast(builder.shl(words, places), ir.VectorType(ir.FloatType(), count))


@emitted(types.none, LITERAL, *[types.int64] * 2)
def round_row(builder: IRBuilder, size: int, source: ir.Value, target: ir.Value) -> None:
    """So many numbers in float32 at an address → as many in bfloat16 at another."""
    rounded = round_to_bfloat16(builder, load_at(builder, source, ir.VectorType(ir.FloatType(), size)))
    builder.store(rounded, _at(builder, target, rounded.type), align=2)


@inlined
def multiply_samples(
    tiles: Value, left: Value, neurons: Value, right: Value, column: Value, to: Value, apart: Value
) -> None:
    """As many rows as the upper tiles have, of a bfloat16 for each neuron, times two tiles' columns of a matrix.

    Args:
        tiles: from ``tile_memory``.
        left: address of the rows, side by side.
        neurons: a multiple of 32.
        right: address of ``matrix_tiles`` of the matrix.
        column: the first of the 32 columns.
        to: address of the first sum, in float32; rows of sums lie ``apart`` bytes from each other.
    """
    zero_tile(tiles, 0)
    zero_tile(tiles, 1)
    groups = neurons // TILE_PAIRS
    of_columns = right + column // TILE_ROWS * groups * TILE_BYTES
    for g in range(groups):
        load_tile(tiles, 4, left + 64 * g, 2 * neurons)
        load_tile(tiles, 6, of_columns + TILE_BYTES * g, 64)
        load_tile(tiles, 7, of_columns + TILE_BYTES * (groups + g), 64)
        multiply_tiles(tiles, 0, 4, 6)
        multiply_tiles(tiles, 1, 4, 7)
    store_tile(tiles, 0, to, apart)
    store_tile(tiles, 1, to + 64, apart)


def matrix_tiles(matrix: Tensor) -> Tensor:
    """A matrix (K, N) of whole tiles as right tiles of bfloat16, (N/16, K/32, 16 pairs, 16, 2)."""
    inner, columns = matrix.shape
    pairs = matrix.to(torch.bfloat16).view(inner // TILE_PAIRS, TILE_ROWS, 2, columns // TILE_ROWS, TILE_ROWS)
    return pairs.permute(3, 0, 1, 4, 2).contiguous()


@emitted(types.none, LITERAL, *[types.int64] * 3)
def round_and_widen(builder: IRBuilder, size: int, source: ir.Value, target: ir.Value, back: ir.Value) -> None:
    """So many float32 at an address → as many in bfloat16 at another, and those in float32 at a third."""
    x = load_at(builder, source, ir.VectorType(ir.FloatType(), size))
    rounded = round_to_bfloat16(builder, x)
    builder.store(rounded, _at(builder, target, rounded.type), align=2)
    builder.store(widen_bfloat16(builder, rounded), _at(builder, back, x.type), align=4)


@emitted(types.none, LITERAL, *[types.int64] * 2)
def widen_row(builder: IRBuilder, size: int, source: ir.Value, target: ir.Value) -> None:
    """So many numbers in bfloat16 at an address → as many float32 at another."""
    wide = widen_bfloat16(builder, load_at(builder, source, ir.VectorType(_I16, size), align=2))
    builder.store(wide, _at(builder, target, wide.type), align=4)


def transposed(builder: IRBuilder, rows: Sequence[ir.Value]) -> list[ir.Value]:
    """The columns of what 16 vectors of 16 numbers are the rows of: pairs of rows exchange ever smaller parts."""
    found = list(rows)
    for apart in (8, 4, 2, 1):
        upper = [i for i in range(16) if not i & apart]
        for i in upper:
            one, other = found[i], found[i + apart]
            keep = [k if not k & apart else 16 + k - apart for k in range(16)]
            give = [k + apart if not k & apart else 16 + k for k in range(16)]
            found[i], found[i + apart] = (
                builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_I32, 16), order))
                for order in (keep, give)
            )
    return found


@emitted(types.none, *[types.int64] * 4)
def transpose_floats(builder: IRBuilder, source: ir.Value, apart: ir.Value, target: ir.Value, beside: ir.Value) -> None:
    """16 rows of 16 float32, ``apart`` bytes from each other → their columns, as rows ``beside`` bytes apart."""
    kind = ir.VectorType(ir.FloatType(), 16)

    def row(start: ir.Value, stride: ir.Value, k: int) -> ir.Value:
        return builder.add(start, builder.mul(stride, ir.Constant(_I64, k)))

    rows = [load_at(builder, row(source, apart, k), kind) for k in range(16)]
    for k, column in enumerate(transposed(builder, rows)):
        store_at(builder, column, row(target, beside, k))


@emitted(types.none, *[types.int64] * 4)
def transpose_to_interleaved(
    builder: IRBuilder, source: ir.Value, apart: ir.Value, target: ir.Value, beside: ir.Value
) -> None:
    """32 rows of 16 float32 → 16 rows of 32 numbers in bfloat16, in the order that weaving undoes."""
    kind = ir.VectorType(ir.FloatType(), 16)

    def row(start: ir.Value, stride: ir.Value, k: int) -> ir.Value:
        return builder.add(start, builder.mul(stride, ir.Constant(_I64, k)))

    rows = [load_at(builder, row(source, apart, k), kind) for k in range(32)]
    order = ir.Constant(ir.VectorType(_I32, 32), [INTERLEAVED.index(place) for place in range(32)])
    for k, pair in enumerate(zip(transposed(builder, rows[:16]), transposed(builder, rows[16:]), strict=True)):
        rounded = round_to_bfloat16(builder, builder.shuffle_vector(*pair, order))
        builder.store(rounded, _at(builder, row(target, beside, k), rounded.type), align=2)
