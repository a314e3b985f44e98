"""The Izhikevich neuron's equation, in every event order and with every reset."""

from __future__ import annotations

from functools import cache
from typing import Any

from izhi.equation.equation import Equation, Input, StateFunction
from izhi.equation.graph import Symbol
from izhi.equation.words import bounded, clip, select, spike
from izhi.spec import ORDERS, EventOrder, IzhikevichReset, izhikevich_coefficients


def izhikevich(order: EventOrder, reset: IzhikevichReset = "value") -> Equation:
    """The quadratic neuron in an event order, with a reset.

        v' = a1·v² + a2·v + a3·u + a4 + gain·I,   u' = b1·v + b2·u + b3
        spike when v ≥ threshold;  after a spike u ← u + d and
        v ← c (reset "value"),   v ← v − (threshold − c) ("subtract"),   v ← v ("none")

    With "smooth" neither v nor u is reset. A third state q raises the threshold and damps both:

        spike s when v ≥ threshold + q;   q ← q_decay·q + s;   v' and u' have −q_damping·q·v and −q_damping·q·u more

    q changes at the spike, so it is the new q that damps a step that fires on the old v. A neuron that keeps its v
    ("none", "smooth") integrates in every step, also in an order that rests.

    Constants: dt, substep = dt/substeps, v_low, v_high, the jacobian_limit of v, and per_span = 1/span, the scale of
    the surrogate gradient's argument.
    """
    return _equation(order, reset)


@cache
def _equation(order: EventOrder, reset: IzhikevichReset) -> Equation:
    keeps_v = reset in ("none", "smooth")

    def step(
        states: tuple[Symbol, ...], input: Input, p: Any, k: Any, state_quant: StateFunction | None = None
    ) -> tuple[Symbol, ...]:
        def damped(change: Symbol, x: Symbol) -> Symbol:
            return change - p.q_damping * (q[0] * x) if q else change

        def substep(v: Symbol, u: Symbol) -> tuple[Symbol, Symbol]:
            def own(v: Symbol) -> Symbol:
                after: Symbol = v + k.substep * damped(p.a1 * v * v + p.a2 * v, v)
                return after if input.conductance is None else after - k.substep * p.gain * input.conductance * v

            after = bounded(own, v, k.jacobian_limit)
            after = after + k.substep * (p.a3 * u + p.a4 + p.gain * input.current)
            if order.u_from == "old v":
                u = u + k.substep * damped(p.b1 * v + p.b2 * u + p.b3, u)
            return clip(after, k.v_low, k.v_high), u

        def after_spike(fired: Symbol, v: Symbol, u: Symbol) -> tuple[Symbol, Symbol]:
            if not keeps_v:
                v = select(fired, p.c if reset == "value" else v - (p.threshold - p.c), v)
            return v, u if q else select(fired, u + p.d, u)

        def fire(v: Symbol) -> tuple[Symbol, list[Symbol]]:
            """The spike, and q after it."""
            excess = v - p.threshold
            fires = spike(excess - q[0] if q else excess, scale=k.per_span)
            return fires, [quantized(p.q_decay * x + fires) for x in q]

        quantized = state_quant or (lambda x: x)
        v, u, *q = states  # q: one state or none
        fired = v >= p.threshold
        if order.spike_on == "old v":
            fires, q = fire(v)
        if order.reset == "before":
            v, u = after_spike(fired, v, u)
        start = v, u
        for _ in range(order.substeps):
            v, u = substep(v, u)
        if order.u_from == "new v":
            u = u + k.dt * damped(p.b1 * v + p.b2 * u + p.b3, u)
        if order.rests and not keeps_v:
            v, u = select(fired, start[0], v), select(fired, start[1], u)
        v, u = quantized(v), quantized(u)
        if order.spike_on == "new v":
            fires, q = fire(v)
        if order.reset == "after":
            v, u = after_spike(v >= p.threshold, v, u)
        return v, u, *q, fires

    by_order = next((f"-{name}" for name, known in ORDERS.items() if known == order and name != "fpga-ip"), "")
    name = f"izhikevich{by_order}{'' if reset == 'value' else f'-{reset}'}"
    states = ("v", "u", *["q"] * (reset == "smooth"))
    return Equation(name, states, izhikevich_coefficients(reset), step, (izhikevich, (order, reset)))
