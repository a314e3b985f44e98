"""The Izhikevich neuron's equation, in every event order."""

from __future__ import annotations

from functools import cache
from typing import Any

from izhi.equation.equation import Equation, Input, StateFunction
from izhi.equation.graph import Symbol
from izhi.equation.words import bounded, clip, select, spike
from izhi.spec import COEFFICIENTS, EventOrder


@cache
def izhikevich(order: EventOrder) -> Equation:
    """The quadratic neuron in an event order.

        v' = a1·v² + a2·v + a3·u + a4 + gain·I,   u' = b1·v + b2·u + b3
        spike when v ≥ threshold;  after a spike v ← c, u ← u + d

    Constants: dt, substep = dt/substeps, v_low, v_high, the jacobian_limit of v, and per_span = 1/(threshold − c),
    the scale of the surrogate gradient's argument.
    """

    def step(
        states: tuple[Symbol, ...], input: Input, p: Any, k: Any, state_quant: StateFunction | None = None
    ) -> tuple[Symbol, ...]:
        def substep(v: Symbol, u: Symbol) -> tuple[Symbol, Symbol]:
            def own(v: Symbol) -> Symbol:
                after: Symbol = v + k.substep * (p.a1 * v * v + p.a2 * v)
                return after if input.conductance is None else after - k.substep * p.gain * input.conductance * v

            after = bounded(own, v, k.jacobian_limit)
            after = after + k.substep * (p.a3 * u + p.a4 + p.gain * input.current)
            if order.u_from == "old v":
                u = u + k.substep * (p.b1 * v + p.b2 * u + p.b3)
            return clip(after, k.v_low, k.v_high), u

        def reset(fired: Symbol, v: Symbol, u: Symbol) -> tuple[Symbol, Symbol]:
            return select(fired, p.c, v), select(fired, u + p.d, u)

        old_v, u = states
        fired = old_v >= p.threshold
        v = old_v
        if order.reset == "before":
            v, u = reset(fired, v, u)
        start = v, u
        for _ in range(order.substeps):
            v, u = substep(v, u)
        if order.u_from == "new v":
            u = u + k.dt * (p.b1 * v + p.b2 * u + p.b3)
        if order.rests:
            v, u = select(fired, start[0], v), select(fired, start[1], u)
        if state_quant is not None:
            v, u = state_quant(v), state_quant(u)
        fires = spike((old_v if order.spike_on == "old v" else v) - p.threshold, scale=k.per_span)
        if order.reset == "after":
            v, u = reset(v >= p.threshold, v, u)
        return v, u, fires

    return Equation("izhikevich", ("v", "u"), COEFFICIENTS, step, (izhikevich, (order,)))


__all__ = ["izhikevich"]
