"""The leaky integrate-and-fire neuron's equation, with every reset."""

from __future__ import annotations

from functools import cache
from typing import Any

from izhi.equation.equation import Equation, Input, StateFunction
from izhi.equation.graph import Symbol
from izhi.equation.words import select, spike
from izhi.spec import ResetMode


@cache
def lif(reset: ResetMode, delay: bool) -> Equation:
    """The leaky integrate-and-fire neuron, equal to ``snntorch.Leaky``.

        v ← β·v + I − R·threshold   (reset "subtract"),   β·(1 − R)·v + I   ("zero"),
        v ← β·((1 − R)·v + R·v_reset) + I   ("value"),   β·(v − R·threshold) + I   ("soft"),
        spike when v > threshold,

    where R, not differentiated, says that v was above threshold at the end of the step before, and I is taken at that v
    where it depends on it. Without ``delay`` the reset takes place in the step of the spike, and is differentiated;
    what "soft" leaves above threshold is not reset again by itself.
    """

    def step(
        states: tuple[Symbol, ...], input: Input, p: Any, k: Any, state_quant: StateFunction | None = None
    ) -> tuple[Symbol, ...]:
        (v,) = states
        current, above = input.at(v), v > p.threshold
        if reset == "zero":
            v = select(above, 0.0, v)
        elif reset == "value":
            v = select(above, p.v_reset, v)
        elif reset == "soft" and delay:
            v = select(above, v - p.threshold, v)
        v = p.beta * v + current
        if reset == "subtract":
            v = select(above, v - p.threshold, v)
        fires = spike(v - p.threshold, strict=True)
        if not delay and reset != "none":
            due = fires if reset == "soft" else fires - select(above, 1.0, 0.0)
            v = v - due * (p.threshold if reset in ("subtract", "soft") else v)
            if reset == "value":
                v = v + due * p.v_reset
        return v, fires

    of_state = ("threshold", "v_reset") if reset == "value" else ("threshold",)
    name = "lif" + ("" if reset == "subtract" else f"-{reset}") + ("" if delay or reset == "none" else "-at-once")
    return Equation(name, ("v",), ("beta", *of_state), step, (lif, (reset, delay)))
