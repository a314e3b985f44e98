"""Coefficients and states of lanes in the memory of a GPU."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from izhi.kernels.cuda.scalars import constant, jit
from izhi.kernels.plan import Plan


@triton.jit
def _two(p, width, lane, mask):  # type: ignore[no-untyped-def]
    at = p + lane % width
    return tl.load(at, mask), tl.load(at + width, mask)


@triton.jit
def _three(p, width, lane, mask):  # type: ignore[no-untyped-def]
    at = p + lane % width
    return tl.load(at, mask), tl.load(at + width, mask), tl.load(at + 2 * width, mask)


@triton.jit
def _four(p, width, lane, mask):  # type: ignore[no-untyped-def]
    at = p + lane % width
    return tl.load(at, mask), tl.load(at + width, mask), tl.load(at + 2 * width, mask), tl.load(at + 3 * width, mask)


@triton.jit
def _eleven(p, width, lane, mask):  # type: ignore[no-untyped-def]
    at = p + lane % width
    return (
        tl.load(at, mask), tl.load(at + width, mask), tl.load(at + 2 * width, mask),
        tl.load(at + 3 * width, mask), tl.load(at + 4 * width, mask), tl.load(at + 5 * width, mask),
        tl.load(at + 6 * width, mask), tl.load(at + 7 * width, mask), tl.load(at + 8 * width, mask),
        tl.load(at + 9 * width, mask), tl.load(at + 10 * width, mask),
    )  # fmt: skip


@triton.jit
def add_to(total, value, mask):  # type: ignore[no-untyped-def]
    tl.store(total, tl.load(total, mask) + value, mask)


@triton.jit
def _add_two(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    add_to(total, d[0], mask)
    add_to(total + lanes, d[1], mask)


@triton.jit
def _add_three(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    add_to(total, d[0], mask)
    add_to(total + lanes, d[1], mask)
    add_to(total + 2 * lanes, d[2], mask)


@triton.jit
def _add_four(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    add_to(total, d[0], mask)
    add_to(total + lanes, d[1], mask)
    add_to(total + 2 * lanes, d[2], mask)
    add_to(total + 3 * lanes, d[3], mask)


@triton.jit
def _add_eleven(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    add_to(total, d[0], mask)
    add_to(total + lanes, d[1], mask)
    add_to(total + 2 * lanes, d[2], mask)
    add_to(total + 3 * lanes, d[3], mask)
    add_to(total + 4 * lanes, d[4], mask)
    add_to(total + 5 * lanes, d[5], mask)
    add_to(total + 6 * lanes, d[6], mask)
    add_to(total + 7 * lanes, d[7], mask)
    add_to(total + 8 * lanes, d[8], mask)
    add_to(total + 9 * lanes, d[9], mask)
    add_to(total + 10 * lanes, d[10], mask)


@triton.jit
def _add_third(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    add_to(total, d[2], mask)


@triton.jit
def _add_fourth(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    add_to(total, d[3], mask)


@triton.jit
def _add_eleventh(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    add_to(total, d[10], mask)


#: By their number: how they are read, and gradients of all of them or of the last added.
COEFFICIENTS = {
    2: (_two, _add_two, None), 3: (_three, _add_three, _add_third), 4: (_four, _add_four, _add_fourth),
    11: (_eleven, _add_eleven, _add_eleventh),
}  # fmt: skip


def states_of(plan: Plan) -> tuple[Any, Any]:
    """How v, u and the traces a and b of a plan are read and written, of states (states, lanes).

    What a plan lacks is read as v or 0, and not written.
    """
    two, filtered = constant(plan.own == 2), constant(plan.filtered)
    own, states = constant(plan.own), constant(plan.states)

    @jit
    def load(p, lanes, lane, mask):  # type: ignore[no-untyped-def]
        at = p + lane
        v = tl.load(at, mask)
        u, a, b = v, tl.zeros_like(v), tl.zeros_like(v)
        if two:
            u = tl.load(at + lanes, mask)
        if filtered:
            a = tl.load(at + own * lanes, mask)
            b = tl.load(at + (states - 1) * lanes, mask)
        return v, u, a, b

    @jit
    def store(p, lanes, lane, v, u, a, b, mask):  # type: ignore[no-untyped-def]
        at = p + lane
        tl.store(at, v, mask)
        if two:
            tl.store(at + lanes, u, mask)
        if filtered:  # b first: without a conductance it has the place of a
            tl.store(at + (states - 1) * lanes, b, mask)
            tl.store(at + own * lanes, a, mask)

    return load, store


__all__ = ["COEFFICIENTS", "add_to", "states_of"]
