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
from numba import types
from numba.core import cgutils
from torch import Tensor

from izhi.kernels.cpu.parallel import Kernel, array, compile_kernel, launch, number, share
from izhi.kernels.cpu.scalars import f32, inlined

#: A tile is 16 rows of 64 bytes; four of them make a block of 32 × 32 results.
TILE = 32
#: Rows turned at a time, and the results of one piece of work: together they fit 2 MB of cache.
ROWS, OUTPUTS, INPUTS = 512, 512, 416
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
def _transpose(typing: Any, source: Any, stride: Any, target: Any, target_stride: Any) -> Any:
    """32 × 32 numbers of 16 bits from source to target, rows to columns."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def at(base: Any, step: Any, row: int) -> Any:
            return builder.add(base, builder.mul(step, ir.Constant(_I64, row)))

        rows = [_load(builder, at(args[0], args[1], row)) for row in range(TILE)]
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
            _store(builder, rows[row], at(args[2], args[3], row))
        return context.get_dummy_value()

    return types.none(*[types.int64] * 4), generate


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def _interleave(typing: Any, first: Any, second: Any, target: Any) -> Any:
    """32 numbers of 16 bits from each of two rows, alternating."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b = _load(builder, args[0]), _load(builder, args[1])
        for half in range(2):
            lanes = [k // 2 + half * TILE // 2 + TILE * (k % 2) for k in range(TILE)]
            place = builder.add(args[2], ir.Constant(_I64, 2 * TILE * half))
            _store(builder, _shuffle(builder, a, b, lanes), place)
        return context.get_dummy_value()

    return types.none(*[types.int64] * 3), generate


@inlined
def _turn(g: Any, row: Any, rows: Any, column: Any, columns: Any, target: Any) -> None:
    """Rows of g from ``row`` on, columns from ``column`` on → target (columns, ROWS), zero beyond."""
    stride, wide = g.strides[0], target.strides[0]
    for n in range(0, columns, TILE):
        for r in range(0, rows, TILE):
            if n + TILE <= columns and r + TILE <= rows:
                source = g.ctypes.data + (row + r) * stride + 2 * (column + n)
                _transpose(source, stride, target.ctypes.data + n * wide + 2 * r, wide)
            else:
                for j in range(min(TILE, columns - n)):
                    for i in range(TILE):
                        inside = r + i < rows
                        target[n + j, r + i] = g[row + r + i, column + n + j] if inside else 0


@inlined
def _pair(s: Any, row: Any, rows: Any, column: Any, columns: Any, target: Any) -> None:
    """The same part of s → target (ROWS/2, columns, 2): two rows side by side, zero beyond."""
    for r in range(0, rows, 2):
        place = target.ctypes.data + (r // 2) * target.strides[0]
        source = s.ctypes.data + (row + r) * s.strides[0] + 2 * column
        whole = columns // TILE * TILE if r + 1 < rows else 0
        for i in range(0, whole, TILE):
            _interleave(source + 2 * i, source + s.strides[0] + 2 * i, place + 4 * i)
        for i in range(whole, columns):
            target[r // 2, 2 * i] = s[row + r, column + i]
            target[r // 2, 2 * i + 1] = s[row + r + 1, column + i] if r + 1 < rows else 0
    for r in range((rows + 1) // 2, (rows + TILE - 1) // TILE * TILE // 2):
        target[r, : 2 * columns] = 0


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
        rows, outputs, inputs, width = (
            number(data, 0),
            number(data, 1),
            number(data, 2),
            number(data, 3),
        )
        g = array(data, 4, (rows, outputs), u16)
        s = array(data, 5, (rows, inputs), u16)
        out = array(data, 6, (outputs, inputs), f32)
        worker, workers = share(data)
        tiles = np.zeros(64, np.uint8)
        tiles[0] = 1
        for tile in range(8):
            tiles[16 + 2 * tile] = 64
            tiles[48 + tile] = 16
        _configure(tiles.ctypes.data)
        turned = np.zeros((OUTPUTS, ROWS), u16)
        paired = np.zeros((ROWS // 2, 2 * INPUTS), u16)
        total = np.zeros((OUTPUTS, INPUTS), np.float32)
        wide, wide_pair, wide_total = turned.strides[0], paired.strides[0], total.strides[0]
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
                for i in range(0, columns, TILE):
                    for n in range(0, lines, TILE):
                        c = total.ctypes.data + n * wide_total + 4 * i
                        load0(c, wide_total)
                        load1(c + 64, wide_total)
                        load2(c + 16 * wide_total, wide_total)
                        load3(c + 16 * wide_total + 64, wide_total)
                        for r in range(0, length, TILE):
                            left = turned.ctypes.data + n * wide + 2 * r
                            right = paired.ctypes.data + (r // 2) * wide_pair + 4 * i
                            left0(left, wide)
                            left1(left + 16 * wide, wide)
                            right0(right, wide_pair)
                            right1(right + 64, wide_pair)
                            product00()
                            product01()
                            product10()
                            product11()
                        store0(c, wide_total)
                        store1(c + 64, wide_total)
                        store2(c + 16 * wide_total, wide_total)
                        store3(c + 16 * wide_total + 64, wide_total)
            for n in range(lines):
                out[line + n, column : column + columns] = total[n, :columns]
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
    launch(_gradient(), rows, outputs, inputs, width, g, s, out, pieces=pieces)
    return out
