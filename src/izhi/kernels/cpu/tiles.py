"""Dense products within a kernel, of a few rows with a matrix: in tiles whose sums stay in registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir
from numba import types
from numba.core import cgutils
from torch import Tensor, nn

from izhi.compiled import inlined
from izhi.kernels.cpu.scalars import compiles_for, emitted, everywhere, load_at, repeat, store_at
from izhi.kernels.ops import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llvmlite.ir import IRBuilder

_I32, _I64 = ir.IntType(32), ir.IntType(64)


#: Rows and columns of a tile, whose sums fit the vector registers: 32 of 512 bits, or 16 of 256.
ROWS, COLUMNS = (8, 32) if compiles_for(("avx512f",)) else (4, 16)


@emitted(types.none, *[types.int64] * 6)
def _multiply(
    builder: IRBuilder,
    left: ir.Value,
    stride: ir.Value,
    right: ir.Value,
    count: ir.Value,
    out: ir.Value,
    apart: ir.Value,
) -> None:
    """out[m] = Σ_k left[m, k]·right[k] over k < count, for ROWS rows m and COLUMNS columns of float32.

    All by their addresses; rows of left lie ``stride`` numbers apart, those of out ``apart``, those of right side by
    side.
    """
    kind, number = ir.VectorType(ir.FloatType(), COLUMNS), ir.FloatType()
    name = f"llvm.fma.v{COLUMNS}f32"
    fused = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)

    def row(start: ir.Value, apart: ir.Value, m: int) -> ir.Value:
        return builder.add(start, builder.mul(apart, ir.Constant(_I64, 4 * m)))

    rows = [row(left, stride, m) for m in range(ROWS)]

    def add(k: ir.Value, *totals: ir.Value) -> tuple[Sequence[ir.Value], ir.Value]:
        of_right = load_at(builder, builder.add(right, builder.mul(k, ir.Constant(_I64, 4 * COLUMNS))), kind)
        offset, following = builder.mul(k, ir.Constant(_I64, 4)), builder.add(k, ir.Constant(_I64, 1))
        after = []
        for address, total in zip(rows, totals, strict=True):
            one = load_at(builder, builder.add(address, offset), number)
            after.append(builder.call(fused, [everywhere(builder, one, COLUMNS), of_right, total]))
        return (following, *after), builder.icmp_signed("<", following, count)

    nothing = ir.Constant(kind, [0.0] * COLUMNS)
    _, *found = repeat(builder, (ir.Constant(_I64, 0), *[nothing] * ROWS), add)
    for m, total in enumerate(found):
        store_at(builder, total, row(out, apart, m))


@inlined
def multiply(left: Value, right: Value, out: Value) -> None:
    """left·matrix into out, within a kernel.

    Args:
        left: (M, K), M a multiple of ``ROWS``.
        right: the address of ``tiles_of(matrix)``.
        out: (M, N), N the matrix's columns, rounded up to whole tiles.
    """
    (rows, inner), columns = left.shape, out.shape[1]
    for n in range(columns // COLUMNS):
        for m in range(0, rows, ROWS):
            _multiply(
                left[m].ctypes.data, inner, right + 4 * COLUMNS * inner * n, inner,
                out[m].ctypes.data + 4 * COLUMNS * n, columns,
            )  # fmt: skip


@inlined
def whole_tiles(size: Value, tile: Value) -> Value:
    """The size, rounded up to whole tiles."""
    return (size + tile - 1) // tile * tile


def tiles_of(matrix: Tensor) -> Tensor:
    """A matrix (K, N) as ``multiply`` takes it, (⌈N/COLUMNS⌉, K, COLUMNS)."""
    filled = nn.functional.pad(matrix.float(), (0, -matrix.shape[1] % COLUMNS))
    return filled.view(len(matrix), -1, COLUMNS).transpose(0, 1).contiguous()
