"""A lane's step as functions that Triton compiles into the loops over time, written from its equation."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import triton.language as tl

from izhi.equation.emit import INFIX, Dialect, function, python_word, statements, tuple_of
from izhi.equation.graph import Symbol
from izhi.kernels.cuda.launch import jit
from izhi.kernels.cuda.scalars import OPS, divided
from izhi.kernels.lane import differentiate, record, words_of
from izhi.kernels.plan import Plan


class BlockFunctions(NamedTuple):
    """What a loop over time calls for a block of lanes; states, coefficients and constants are tuples.

    Attributes:
        step: (z, q, current, conductance, bias, s) → states after the step, spike.
        step_vjp: (z, ahead, gz, q, current, conductance, bias, g_spike, s) → gradients of the states before the step,
            of current, conductance and bias, and of the coefficients ``Plan.learn``; ``ahead`` is the states after it.
        load: (pointer, lanes, lane, mask) → states of memory (states, lanes).
        store: (pointer, lanes, lane, z, mask) puts them there.
        coefficients: (pointer, width, lane, mask) → q, of memory (rows, width).
        no_sums: (current,) → zeros, a block for each gradient of ``Plan.learn``.
        add: (sums, summed) → sums with gradients of coefficients added, which stay in registers.
        store_sums: (pointer, lanes, lane, sums, mask) puts them into memory (rows, lanes).
    """

    step: Any
    step_vjp: Any
    load: Any
    store: Any
    coefficients: Any
    no_sums: Any
    add: Any
    store_sums: Any


_WORDS = {**words_of(OPS), "tl": tl, "divided": divided}


def _word(node: Symbol, args: list[str]) -> str:
    return f"divided({', '.join(args)})" if node.op == "/" else python_word(node, args)


_DIALECT = Dialect(number=repr, word=_word, infix={op: sign for op, sign in INFIX.items() if op != "/"})


def _function(name: str, arguments: str, lines: Iterable[str]) -> Any:
    return jit(function(name, arguments, lines, _WORDS))


def _body(roots: Iterable[Symbol], places: dict[Symbol, str]) -> tuple[list[str], list[str]]:
    """Statements, and the results; those that are constants become blocks, which loops can carry."""
    roots = list(roots)
    lines, found = statements(roots, _DIALECT, places)
    blocks = [f"tl.zeros_like(current) + {x}" if n.op == "constant" else x for n, x in zip(roots, found, strict=True)]
    return lines, blocks


@cache
def lane_functions(plan: Plan) -> BlockFunctions:
    """The functions of a plan."""
    lane, g = record(plan.form), differentiate(plan)
    variable = lane.spike.graph.variable
    places = {lane.current: "current", lane.conductance: "conductance", lane.bias: "bias"}
    places |= {x: f"q[{k}]" for k, x in enumerate(lane.coefficients.values())}
    places |= {x: f"s[{k}]" for k, x in enumerate(lane.constants.values())}
    places |= {x: f"z[{k}]" for k, x in enumerate(lane.states)}
    lines, (*after, fires) = _body((*lane.after, lane.spike), places)
    step = _function("step", "z, q, current, conductance, bias, s", [*lines, f"return {tuple_of(after)}, {fires}"])
    places |= {variable(f"g{k}"): f"gz[{k}]" for k in range(plan.states)}
    places |= {g.ahead: "ahead[0]", variable("g_spike"): "g_spike"}
    lines, found = _body((*g.states, g.current, g.conductance, g.bias, *g.summed), places)
    states, others, summed = found[: plan.states], found[plan.states :][:3], found[plan.states + 3 :]
    step_vjp = _function(
        "step_vjp", "z, ahead, gz, q, current, conductance, bias, g_spike, s",
        [*lines, f"return {tuple_of(states)}, {', '.join(others)}, {tuple_of(summed)}"],
    )  # fmt: skip
    every = range(plan.states)
    return BlockFunctions(
        step, step_vjp,
        _function("load", "p, lanes, lane, mask", [
            "at = p + lane", f"return {tuple_of(f'tl.load(at + {k} * lanes, mask)' for k in every)}",
        ]),
        _function("store", "p, lanes, lane, z, mask", [
            "at = p + lane", *(f"tl.store(at + {k} * lanes, z[{k}], mask)" for k in every),
        ]),
        _function("coefficients", "p, width, lane, mask", [
            "at = p + lane % width", f"return {tuple_of(f'tl.load(at + {k} * width, mask)' for k in range(plan.rows))}",
        ]),
        _function("no_sums", "current", [f"return {tuple_of('tl.zeros_like(current)' for _ in plan.learn)}"]),
        _function("add", "sums, summed", [
            f"return {tuple_of(f'sums[{k}] + summed[{k}]' for k in range(len(plan.learn)))}",
        ]),
        _function("store_sums", "p, lanes, lane, sums, mask", [
            "at = p + lane", *(f"tl.store(at + {k} * lanes, sums[{k}], mask)" for k in range(len(plan.learn))),
        ]),
    )  # fmt: skip
