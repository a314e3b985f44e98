"""A synapse's equation: how arriving spikes become a current over time."""

from __future__ import annotations

from typing import Any

from izhi.equation.equation import Input
from izhi.equation.graph import Symbol
from izhi.equation.words import clip, double, rounded, single


def exponential(arriving: Input, traces: tuple[Symbol, ...], k: Any) -> tuple[tuple[Symbol, ...], Input]:
    """The traces after a step, and the input of the neuron.

        s[t] = decay·s[t−1] + x[t],   y[t] = (1 − decay)·s[t]

    for the current and, where there is one, the conductance g; then both are divided by 1 + implicit·g.
    """
    values = [x for x in arriving if x is not None]
    traces = tuple(k.decay * s + x for s, x in zip(traces, values, strict=True))
    filtered = [(1.0 - k.decay) * s for s in traces]
    if arriving.conductance is not None:
        share = 1.0 / (1.0 + k.implicit * filtered[1])
        filtered = [x * share for x in filtered]
    return traces, Input(*filtered)


def exponential_in_fixed_point(x: Symbol, trace: Symbol, k: Any) -> Symbol:
    """The trace after a step, a fixed-point number, which is also the neuron's current.

        s[t] = sat(round(decay·s[t−1] + x[t])),   y[t] = s[t]

    The factor 1 − decay is in the gain of the neuron's current.
    """
    total = double(k.decay, x) * double(trace, x) + double(x, x)
    total = rounded(total, double(k.trace_scale, x), double(k.trace_unit, x))
    return single(clip(total, double(k.trace_low, x), double(k.trace_high, x)))
