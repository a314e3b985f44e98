"""What the kernels share: bfloat16 as bits, and the ops of Numba."""

from __future__ import annotations

import platform
from functools import wraps
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import torch
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils

from izhi.compiled import inlined
from izhi.kernels.ops import OpSet, Scalar, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llvmlite.ir import IRBuilder
    from numba.core.base import BaseContext
    from numba.core.typing import Context, Signature


f32 = np.float32
zero = f32(0)


def compiles_for(features: Sequence[str]) -> bool:
    """Whether the CPU, and the one that Numba is told to compile for, has all of these."""
    named = numba.config.CPU_FEATURES
    has: Any = (lambda name: f"+{name}" in named) if named else get_host_cpu_features().get
    return platform.machine() in ("x86_64", "AMD64") and all(has(name) for name in features)


#: Stands for the type of an operand that is known when a kernel is compiled.
LITERAL = None


def emitted(result: Value, *operands: Value) -> Callable[[Callable[..., ir.Value | None]], Value]:
    """A decorator: kernels call an intrinsic of these types, whose instructions the function writes.

    Args:
        result: what the function returns; ``types.none`` for nothing.
        operands: what it takes behind the builder, as values of LLVM; a ``LITERAL`` one as a number of Python.
    """

    def decorate(function: Callable[..., ir.Value | None]) -> Value:
        @wraps(function)
        def define(typing: Context, *kinds: Value) -> Value:
            def generate(
                context: BaseContext, builder: IRBuilder, signature: Signature, args: Sequence[ir.Value]
            ) -> ir.Value:
                pairs = zip(operands, kinds, args, strict=True)
                made = function(builder, *(kind.literal_value if x is LITERAL else value for x, kind, value in pairs))
                return context.get_dummy_value() if made is None else made

            return result(*(kind if x is LITERAL else x for x, kind in zip(operands, kinds, strict=True))), generate

        return numba.extending.intrinsic(prefer_literal=LITERAL in operands)(define)

    return decorate


def load_at(builder: IRBuilder, address: ir.Value, kind: ir.Type, align: int = 4) -> ir.Value:
    """What lies at an address, as one value of this type; a number or a vector."""
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)


def store_at(builder: IRBuilder, value: ir.Value, address: ir.Value) -> None:
    """Put a number or a vector of numbers of 32 bits at an address."""
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=4)


def everywhere(builder: IRBuilder, number: ir.Value, size: int) -> ir.Value:
    """A vector of so many times the same number."""
    undefined = ir.Constant(ir.VectorType(number.type, size), ir.Undefined)
    one = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), size), [0] * size))


def repeat(
    builder: IRBuilder, starts: Sequence[ir.Value],
    turn: Callable[..., tuple[Sequence[ir.Value], ir.Value]], enters: ir.Value | None = None,
) -> list[ir.Value]:  # fmt: skip
    """A loop, whose values stay in registers: what ``starts`` have become behind it.

    Args:
        builder: where it is written.
        starts: values before the first turn.
        turn: writes one, of the values before it; the values after it, and whether another one follows.
        enters: whether there is a first turn; None where there always is.
    """
    begin, body, end = builder.block, builder.append_basic_block("turn"), builder.append_basic_block("done")
    if enters is None:
        builder.branch(body)
    else:
        builder.cbranch(enters, body, end)
    builder.position_at_end(body)
    before = [builder.phi(start.type) for start in starts]
    after, follows = turn(*before)
    last = builder.block
    for phi, start, then in zip(before, starts, after, strict=True):
        phi.add_incoming(start, begin)
        phi.add_incoming(then, last)
    builder.cbranch(follows, body, end)
    builder.position_at_end(end)
    if enters is None:
        return list(after)
    found = [builder.phi(start.type) for start in starts]
    for phi, start, then in zip(found, starts, after, strict=True):
        phi.add_incoming(start, begin)
        phi.add_incoming(then, last)
    return found


@emitted(types.float32, types.uint32)
def _bits_to_float(builder: IRBuilder, x: ir.Value) -> ir.Value:
    return builder.bitcast(x, ir.FloatType())


@emitted(types.uint32, types.float32)
def _float_to_bits(builder: IRBuilder, x: ir.Value) -> ir.Value:
    return builder.bitcast(x, ir.IntType(32))


@emitted(types.float32, *[types.float32] * 3)
def _multiply_add(builder: IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a·b + c, rounded once where the CPU has an instruction for that."""
    number = ir.FloatType()
    kind = ir.FunctionType(number, [number] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.f32"), (a, b, c))


@inlined
def load_bf16(x: Value) -> Value:
    return _bits_to_float(np.uint32(np.uint32(x) << np.uint32(16)))


@inlined
def store_bf16(x: Value) -> Value:
    bits = _float_to_bits(f32(x))
    even = (bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + even) >> np.uint32(16))


@inlined
def _load_f32(x: Value) -> Value:
    return x


@inlined
def _store_f32(x: Value) -> Value:
    return f32(x)


@inlined
def _select(condition: Value, a: Value, b: Value) -> Value:
    return a if condition else b


@inlined
def _clip(x: Value, low: Value, high: Value) -> Value:
    return min(max(x, low), high)


#: ln 2 in two parts, of which whole multiples of the first are exact, and 1/ln 2.
_LN2_HIGH, _LN2_LOW, _LOG2_E = f32(0.693359375), f32(-2.12194440e-4), f32(1.44269504)
#: Arguments beyond which exp is 0 or infinite.
_LOWEST, _HIGHEST = f32(-87.6), f32(89)
#: Coefficients of r² … r⁷ in eʳ for |r| ≤ ln 2 / 2, from Moshier's Cephes.
_C2, _C3, _C4, _C5, _C6, _C7 = (
    f32(x) for x in (0.50000001201, 0.16666665459, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.98756915e-4)
)
#: Added to a float32, it leaves the nearest whole number n in the lowest bits; n plus the second is 2ⁿ⁻¹'s exponent.
_ROUNDS, _TO_EXPONENT = f32(3 << 22), 126


@inlined
def exp(x: Value) -> Value:
    """eˣ to one unit in the last place, 0 below 2⁻¹²⁵; without a call, which LLVM would make for each lane alone."""
    x = _LOWEST if x < _LOWEST else x
    x = _HIGHEST if x > _HIGHEST else x
    shifted = _multiply_add(x, _LOG2_E, _ROUNDS)
    n = shifted - _ROUNDS
    r = _multiply_add(n, -_LN2_LOW, _multiply_add(n, -_LN2_HIGH, x))
    y = _multiply_add(_multiply_add(_multiply_add(_C7, r, _C6), r, _C5), r, _C4)
    y = _multiply_add(_multiply_add(y, r, _C3), r, _C2)
    y = f32(1) + _multiply_add(y, r * r, r)
    half = _bits_to_float(np.uint32((_float_to_bits(shifted) + np.uint32(_TO_EXPONENT)) << np.uint32(23)))
    return y * f32(2) * half  # 2ⁿ itself may be above all of float32


@inlined
def _absolute(x: Value) -> Value:
    return abs(x)


@inlined
def _wide(x: Value) -> Value:
    return np.float64(x)


@inlined
def _narrow(x: Value) -> Value:
    return f32(x)


@inlined
def _rounded(x: Value, scale: Value, unit: Value) -> Value:
    return np.floor(x * scale + 0.5) * unit


OPS = OpSet(
    inlined=inlined,
    constant=lambda value: value,
    number=f32,
    select=_select,
    clip=_clip,
    exp=exp,
    absolute=_absolute,
    wide=_wide,
    narrow=_narrow,
    rounded=_rounded,
)


def codec(dtype: torch.dtype) -> tuple[Scalar, Scalar, type]:
    """(load, store, element): memory → float32, and back; the type of an element in memory."""
    if dtype == torch.bfloat16:
        return load_bf16, store_bf16, np.uint16
    return _load_f32, _store_f32, f32
