"""Compiles kernels, and runs them in the threads that torch itself uses.

A kernel is a function of one pointer: to an array of int64 that holds sizes and addresses. Torch's OpenMP
library runs it in each of its threads. A pool of our own, or Numba's, would fight with torch's for the
cores, since OpenMP's threads spin for a while after each piece of work.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.np.arrayobj import make_array, populate_array
from torch import Tensor

from izhi.compiled import callback, inlined
from izhi.kernels.cpu.scalars import emitted
from izhi.kernels.ops import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llvmlite.ir import IRBuilder
    from numba.core.base import BaseContext
    from numba.core.typing import Context, Signature


#: Places of an array of arguments that are not the kernel's own.
_RESERVED = 4
#: Bytes of a line of the cache.
_LINE = 64
Kernel = Any
#: An argument of a kernel, or its place.
Argument: TypeAlias = int | Tensor


class _OpenMP(NamedTuple):
    """Functions of the OpenMP library that torch uses: one to call, the addresses of two."""

    parallel: Any
    thread_number: int
    number_of_threads: int


def _openmp() -> _OpenMP | None:
    folder = Path(torch.__file__).parent / "lib"
    names = [None, *(str(p) for kind in ("libgomp", "libiomp5") for p in folder.glob(f"{kind}*"))]
    for name in names if os.name == "posix" else []:
        try:
            library = ctypes.CDLL(name)
            parallel = library.GOMP_parallel
            addresses = [
                ctypes.cast(f, ctypes.c_void_p).value or 0
                for f in (library.omp_get_thread_num, library.omp_get_num_threads)
            ]
        except (OSError, AttributeError):
            continue
        parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        parallel.restype = None
        return _OpenMP(parallel, *addresses)
    return None


_OPENMP = _openmp()
_forked = False


def _after_fork() -> None:
    # The threads of the parent's pool are not there in the child, and OpenMP would wait for them.
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@emitted(types.int32, types.int64)
def _call(builder: IRBuilder, address: ir.Value) -> ir.Value:
    """int f() at an address."""
    kind = ir.FunctionType(ir.IntType(32), [])
    return builder.call(builder.inttoptr(address, kind.as_pointer()), [])


@emitted(types.none)
def wide_vectors(builder: IRBuilder) -> None:
    """Let LLVM use vectors of 512 bits in this function, which it avoids by itself."""
    # llvmlite's own add knows no attributes with values.
    set.add(builder.function.attributes, '"prefer-vector-width"="512"')


def _array(
    context: BaseContext, builder: IRBuilder, signature: Signature, address: ir.Value, kind: Value, shape: ir.Value
) -> ir.Value:
    """What Numba's carray gives, for which it compiles three functions for every kind of array."""
    result, several = signature.return_type, isinstance(kind, types.BaseTuple)
    sizes = cgutils.unpack_tuple(builder, shape) if several else [shape]
    kinds = kind.types if several else [kind]
    lengths = [context.cast(builder, size, of, types.intp) for size, of in zip(sizes, kinds, strict=True)]
    element = context.get_data_type(result.dtype)
    apart = [cgutils.intp_t(context.get_abi_sizeof(element))]
    for length in reversed(lengths[1:]):
        apart.insert(0, builder.mul(apart[0], length))
    made = make_array(result)(context, builder)
    data = builder.inttoptr(address, element.as_pointer())
    populate_array(made, data=data, shape=lengths, strides=apart, itemsize=apart[-1], meminfo=None)
    return made._getvalue()


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def _from_line(typing: Context, owner: Value, shape: Value) -> Value:
    """An array of float32 in the memory of another, which it keeps alive, from the first line of the cache there on."""

    def generate(context: BaseContext, builder: IRBuilder, signature: Signature, args: Sequence[ir.Value]) -> ir.Value:
        whole = make_array(signature.args[0])(context, builder, args[0])
        address = builder.ptrtoint(whole.data, cgutils.intp_t)
        skipped = builder.lshr(builder.and_(builder.neg(address), cgutils.intp_t(_LINE - 1)), cgutils.intp_t(2))
        result, sizes = signature.return_type, cgutils.unpack_tuple(builder, args[1])
        made, item = make_array(result)(context, builder), cgutils.intp_t(4)
        populate_array(
            made, data=builder.gep(whole.data, [skipped]), shape=sizes, strides=[builder.mul(sizes[1], item), item],
            itemsize=item, meminfo=whole.meminfo,
        )  # fmt: skip
        return impl_ret_borrowed(context, builder, result, made._getvalue())

    return types.Array(types.float32, 2, "C")(owner, shape), generate


@inlined
def zero_rows(count: Value, size: Value) -> Value:
    """Zeros in float32, (count, size), that begin with a line of the cache: what lies across two takes longer."""
    return _from_line(np.zeros(count * size + _LINE // 4, np.float32), (count, size))


@inlined
def empty_rows(count: Value, size: Value) -> Value:
    """The same of any numbers, for what is written before it is read."""
    return _from_line(np.empty(count * size + _LINE // 4, np.float32), (count, size))


def _array_type(shape: Value, dtype: Value) -> Value:
    return types.Array(dtype.dtype, len(shape) if isinstance(shape, types.BaseTuple) else 1, "C")


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def array_at(typing: Context, address: Value, shape: Value, dtype: Value) -> Value:
    """The array at an address."""

    def generate(context: BaseContext, builder: IRBuilder, signature: Signature, args: Sequence[ir.Value]) -> ir.Value:
        return _array(context, builder, signature, args[0], shape, args[1])

    return _array_type(shape, dtype)(types.int64, shape, dtype), generate


def _argument(builder: IRBuilder, data: ir.Value, place: ir.Value) -> ir.Value:
    return builder.load(builder.gep(data, [builder.add(place, ir.Constant(place.type, _RESERVED))]))


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def array(typing: Context, data: Value, place: Value, shape: Value, dtype: Value) -> Value:
    """The array whose address is the kernel's argument number ``place``."""

    def generate(context: BaseContext, builder: IRBuilder, signature: Signature, args: Sequence[ir.Value]) -> ir.Value:
        return _array(context, builder, signature, _argument(builder, *args[:2]), shape, args[2])

    return _array_type(shape, dtype)(data, types.int64, shape, dtype), generate


@emitted(types.int64, types.CPointer(types.int64), types.int64)
def number(builder: IRBuilder, data: ir.Value, place: ir.Value) -> ir.Value:
    """The integer that is the kernel's argument number ``place``."""
    return _argument(builder, data, place)


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def copy(typing: Context, source: Value, target: Value, size: Value) -> Value:
    """So many numbers from one array to another, which lie apart; sooner compiled than a loop, which becomes four."""

    def generate(context: BaseContext, builder: IRBuilder, signature: Signature, args: Sequence[ir.Value]) -> ir.Value:
        begin, end = (
            make_array(kind)(context, builder, x).data for kind, x in zip(signature.args[:2], args[:2], strict=True)
        )
        element = context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype))
        cgutils.raw_memcpy(builder, end, begin, args[2], element)
        return context.get_dummy_value()

    return types.none(source, target, types.int64), generate


@emitted(types.none, *[types.int64] * 3)
def copy_floats(builder: IRBuilder, source: ir.Value, target: ir.Value, size: ir.Value) -> None:
    """So many float32 from one address to another, which lie apart."""
    begin, end = (builder.inttoptr(x, ir.FloatType().as_pointer()) for x in (source, target))
    cgutils.raw_memcpy(builder, end, begin, size, 4)


@emitted(types.none, *[types.int64] * 2)
def zero_floats(builder: IRBuilder, target: ir.Value, size: ir.Value) -> None:
    """So many zeros in float32 at an address."""
    place = builder.inttoptr(target, ir.IntType(8).as_pointer())
    cgutils.memset(builder, place, builder.mul(size, cgutils.intp_t(4)), 0)


@inlined
def four_numbers(data: Value) -> Value:
    """The first four arguments of a kernel: its sizes."""
    return number(data, 0), number(data, 1), number(data, 2), number(data, 3)


@inlined
def share(data: Value) -> Value:
    """This thread's number, and how many threads there are."""
    if data[0] != 0:
        return np.int64(_call(data[0])), np.int64(_call(data[1]))
    return data[2], data[3]


@inlined
def share_of_parts(data: Value, count: Value, size: Value) -> Value:
    """Of ``count`` things in parts of ``size``: where this thread's begin and end, and where whole parts of it end."""
    worker, workers = share(data)
    parts = (count + size - 1) // size
    first, last = worker * parts // workers * size, min(count, (worker + 1) * parts // workers * size)
    return first, last, max(first, last // size * size)


def compile_kernel(function: Callable[[Value], None]) -> Kernel:
    """Compile a kernel; the result is cached on disk, if there is a folder for it that can be written."""
    return callback(types.void(types.CPointer(types.int64)), function, error_model="numpy")


def argument_places(kind: Any, behind: Any = None) -> Any:
    """The places of a kernel's arguments by the names of a NamedTuple, behind those of another one."""
    first = 0 if behind is None else len(behind._fields)
    return kind(*range(first, first + len(kind._fields)))


def launch(kernel: Kernel, *arguments: Argument, pieces: int) -> None:
    """Run a kernel over as many threads as torch uses, at most one for each of ``pieces`` of work.

    Args:
        kernel: from ``compile_kernel``.
        arguments: integers, and contiguous tensors, whose addresses are passed.
        pieces: of work, among which the kernel chooses by ``share``.
    """
    values = [x if type(x) is int else x.data_ptr() for x in arguments]  # type: ignore[union-attr]
    data = (ctypes.c_int64 * (_RESERVED + len(values)))(0, 0, 0, 1, *values)
    threads = min(pieces, 1 if _forked else torch.get_num_threads())
    if threads <= 1:
        kernel.ctypes(data)
    elif _OPENMP is not None:
        data[:2] = [_OPENMP.thread_number, _OPENMP.number_of_threads]
        _OPENMP.parallel(kernel.address, ctypes.addressof(data), threads, 0)
    else:
        _in_python_threads(kernel, data, threads)


def _in_python_threads(kernel: Kernel, data: Value, threads: int) -> None:
    """Where torch has no OpenMP of a known kind; calls by ctypes hold no lock of the interpreter."""

    def one(worker: int) -> None:
        own = type(data)(*data)
        own[2:4] = [worker, threads]
        kernel.ctypes(own)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(threads)))
