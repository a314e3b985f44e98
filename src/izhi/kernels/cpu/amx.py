"""Gradients of weights by the matrix unit of recent CPUs (Intel AMX), in bfloat16 with sums in float32.

The gradient gᵀ·s sums over all T·B rows of two tensors that lie row by row, the direction in which the
matrix unit cannot read. A general library turns them over in memory first, which takes as long as the
product itself. Here a thread turns a few hundred rows at a time, within its own cache, and adds
their product to a part of the result that stays there.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from torch import Tensor

from izhi.kernels.cpu.parallel import (
    Kernel,
    array,
    compile_kernel,
    launch,
    number,
    pointer,
    share,
    wide_vectors,
)
from izhi.kernels.cpu.scalars import f32, inlined

#: A tile is 16 rows of 64 bytes; four of them make a block of 32 × 32 results.
TILE = 32
#: Rows turned at a time, and the results of one piece of work: together they fit 2 MB of cache.
ROWS, OUTPUTS, INPUTS = 512, 512, 416
_TILE_BYTES = 1024
_TURNED, _PAIRED = 2 * OUTPUTS * ROWS, 2 * INPUTS * ROWS
_ROOM = _TURNED + _PAIRED + 4 * OUTPUTS * INPUTS
_I8, _I16, _I64 = ir.IntType(8), ir.IntType(16), ir.IntType(64)
_VECTOR = ir.VectorType(_I16, TILE)


@cache
def is_available() -> bool:
    """Whether this machine has AMX for bfloat16 and the system lets this process use it."""
    supported = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    if not (supported and sys.platform == "linux"):
        return False
    request_permission, tile_data = 0x1023, 18  # arch_prctl, system call 158
    return bool(ctypes.CDLL(None).syscall(158, request_permission, tile_data) == 0)


def _instruction(name: str, *tiles: int) -> Any:
    """An instruction on fixed tiles."""

    @numba.extending.intrinsic  # type: ignore[untyped-decorator]
    def instruction(typing: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(ir.VoidType(), [_I8] * len(tiles))
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}")
            builder.call(function, [ir.Constant(_I8, tile) for tile in tiles])
            return context.get_dummy_value()

        return types.none(), generate

    return instruction


def _memory_instruction(name: str, tile: int) -> Any:
    """Load or store a tile at an address, with a stride in bytes."""

    @numba.extending.intrinsic  # type: ignore[untyped-decorator]
    def instruction(typing: Any, address: Any, stride: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = _I8.as_pointer()
            kind = ir.FunctionType(ir.VoidType(), [_I8, pointer, _I64])
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}")
            address = builder.inttoptr(args[0], pointer)
            builder.call(function, [ir.Constant(_I8, tile), address, args[1]])
            return context.get_dummy_value()

        return types.none(types.int64, types.int64), generate

    return instruction


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def _configure(typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _I8.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.ldtilecfg")
        builder.call(function, [builder.inttoptr(args[0], pointer)])
        return context.get_dummy_value()

    return types.none(types.int64), generate


def _load(builder: Any, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, _VECTOR.as_pointer()), align=2)


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, _VECTOR.as_pointer()), align=2)


def _shuffle(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(a, b, mask)


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def _transpose(typing: Any, source: Any, stride: Any, target: Any) -> Any:
    """32 × 32 numbers of 16 bits, rows to columns, from rows a stride apart to rows side by side."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = [
            _load(builder, builder.add(args[0], builder.mul(args[1], ir.Constant(_I64, row))))
            for row in range(TILE)
        ]
        for distance in (1, 2, 4, 8, 16):
            lanes = range(TILE)
            low = [k if not k & distance else TILE + k - distance for k in lanes]
            high = [k + distance if not k & distance else TILE + k for k in lanes]
            for row in range(TILE):
                if not row & distance:
                    a, b = rows[row], rows[row + distance]
                    rows[row] = _shuffle(builder, a, b, low)
                    rows[row + distance] = _shuffle(builder, a, b, high)
        for row in range(TILE):
            _store(builder, rows[row], builder.add(args[2], ir.Constant(_I64, 2 * TILE * row)))
        return context.get_dummy_value()

    return types.none(*[types.int64] * 3), generate


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def _interleave(typing: Any, first: Any, second: Any, target: Any) -> Any:
    """32 numbers of 16 bits from each of two rows, alternating, to a row of each of two tiles."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b = _load(builder, args[0]), _load(builder, args[1])
        for half in range(2):
            lanes = [k // 2 + half * TILE // 2 + TILE * (k % 2) for k in range(TILE)]
            place = builder.add(args[2], ir.Constant(_I64, _TILE_BYTES * half))
            _store(builder, _shuffle(builder, a, b, lanes), place)
        return context.get_dummy_value()

    return types.none(*[types.int64] * 3), generate


@inlined
def _turn(g: Any, row: Any, rows: Any, column: Any, columns: Any, target: Any) -> None:
    """Part of g → target (columns/32, rows/32, 32 columns, 32 rows), zero beyond its rows."""
    stride = g.strides[0]
    for n in range(0, columns, TILE):
        for r in range(0, rows, TILE):
            block = target[n // TILE, r // TILE]
            if n + TILE <= columns and r + TILE <= rows:
                _transpose(
                    g.ctypes.data + (row + r) * stride + 2 * (column + n), stride, block.ctypes.data
                )
            else:
                for j in range(min(TILE, columns - n)):
                    for i in range(TILE):
                        inside = r + i < rows
                        block[j, i] = g[row + r + i, column + n + j] if inside else 0


@inlined
def _pair(s: Any, row: Any, rows: Any, column: Any, columns: Any, target: Any) -> None:
    """Part of s → target (columns/32, rows/32, 2 tiles, 16 pairs of rows, 16 columns · 2), zero beyond."""
    for r in range(0, (rows + TILE - 1) // TILE * TILE, 2):
        for i in range(0, columns, TILE):
            block = target[i // TILE, r // TILE]
            pair = (r % TILE) // 2
            if r + 1 < rows and i + TILE <= columns:
                source = s.ctypes.data + (row + r) * s.strides[0] + 2 * (column + i)
                _interleave(source, source + s.strides[0], block.ctypes.data + 64 * pair)
            else:
                for k in range(min(TILE, columns - i)):
                    for side in range(2):
                        inside = r + side < rows
                        value = s[row + r + side, column + i + k] if inside else 0
                        block[k // 16, pair, 2 * (k % 16) + side] = value


@cache
def _gradient() -> Kernel:
    load = [_memory_instruction("tileloadd64", tile) for tile in range(8)]
    store = [_memory_instruction("tilestored64", tile) for tile in range(4)]
    load0, load1, load2, load3, left0, left1, right0, right1 = load
    store0, store1, store2, store3 = store
    product00, product01 = _instruction("tdpbf16ps", 0, 4, 6), _instruction("tdpbf16ps", 1, 4, 7)
    product10, product11 = _instruction("tdpbf16ps", 2, 5, 6), _instruction("tdpbf16ps", 3, 5, 7)
    release = _instruction("tilerelease")
    u16 = np.uint16

    @compile_kernel
    def gradient(data):  # type: ignore[no-untyped-def]
        rows, outputs, inputs = number(data, 0), number(data, 1), number(data, 2)
        width = number(data, 3)
        g = array(data, 4, (rows, outputs), u16)
        s = array(data, 5, (rows, inputs), u16)
        out = array(data, 6, (outputs, inputs), f32)
        wide_vectors()
        worker, workers = share(data)
        room = number(data, 7) + worker * _ROOM
        tiles = np.zeros(64, np.uint8)
        tiles[0] = 1
        for tile in range(8):
            tiles[16 + 2 * tile] = 64
            tiles[48 + tile] = 16
        _configure(tiles.ctypes.data)
        # In the order in which the tiles are read, 64 bytes, and so one line of cache, to a row.
        turned = carray(pointer(room), (OUTPUTS // TILE, ROWS // TILE, TILE, TILE), u16)
        paired = carray(
            pointer(room + _TURNED), (INPUTS // TILE, ROWS // TILE, 2, TILE // 2, TILE), u16
        )
        total = carray(
            pointer(room + _TURNED + _PAIRED),
            (INPUTS // TILE, OUTPUTS // TILE, 2, 2, TILE // 2, TILE // 2),
            f32,
        )
        across = (inputs + width - 1) // width
        pieces = across * ((outputs + OUTPUTS - 1) // OUTPUTS)
        for piece in range(worker, pieces, workers):
            column, line = piece % across * width, piece // across * OUTPUTS
            columns, lines = min(width, inputs - column), min(OUTPUTS, outputs - line)
            total[:] = f32(0)
            for row in range(0, rows, ROWS):
                length = min(ROWS, rows - row)
                _turn(g, row, length, line, lines, turned)
                _pair(s, row, length, column, columns, paired)
                depth = (length + TILE - 1) // TILE
                for i in range((columns + TILE - 1) // TILE):
                    for n in range((lines + TILE - 1) // TILE):
                        c = total[i, n].ctypes.data
                        left, right = turned[n].ctypes.data, paired[i].ctypes.data
                        load0(c, 64)
                        load1(c + 1024, 64)
                        load2(c + 2048, 64)
                        load3(c + 3072, 64)
                        for _ in range(depth):
                            left0(left, 64)
                            right0(right, 64)
                            product00()
                            right1(right + 1024, 64)
                            product01()
                            left1(left + 1024, 64)
                            product10()
                            product11()
                            left += 2048
                            right += 2048
                        store0(c, 64)
                        store1(c + 1024, 64)
                        store2(c + 2048, 64)
                        store3(c + 3072, 64)
            for n in range(lines):
                for i in range(0, columns, TILE // 2):
                    block = total[i // TILE, n // TILE, n % TILE // 16, i % TILE // 16]
                    for k in range(min(TILE // 2, columns - i)):
                        out[line + n, column + i + k] = block[n % 16, k]
        release()

    return gradient


def weight_gradient(g: Tensor, s: Tensor) -> Tensor:
    """gᵀ·s in float32, (N, I), from contiguous bfloat16 g (R, N) and s (R, I)."""
    (rows, outputs), inputs = g.shape, s.shape[1]
    out = torch.empty(outputs, inputs)
    # As many pieces as threads, in whole tiles, but none that is larger than the cache.
    threads = torch.get_num_threads()
    width = min(INPUTS, max(2 * TILE, -(-inputs // (threads * TILE)) * TILE))
    pieces = -(-inputs // width) * -(-outputs // OUTPUTS)
    room = torch.empty(min(pieces, threads) * _ROOM, dtype=torch.uint8)  # at a whole line of cache
    launch(_gradient(), rows, outputs, inputs, width, g, s, out, room, pieces=pieces)
    return out
