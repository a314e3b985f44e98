"""One step of neurons whose states are fixed-point numbers, exactly that of izhi.fixed, and back.

The forward step is written once, in values instead of integers: the reference runs it in torch and
leaves its derivative to autograd, kernels inline it and have a backward step of their own. Products are
exact in double precision; dt is in the coefficients.
"""

from __future__ import annotations

from typing import NamedTuple

from izhi.kernels.ops import OpSet, Scalar, Value, field_indices
from izhi.kernels.plan import Constants
from izhi.kernels.synaptic_input import Coefficients, QuantizedLIFCoefficients, QuantizedValueLIFCoefficients
from izhi.spec import ResetMode


class IzhikevichStep(NamedTuple):
    """The parts of a step in the order of the FPGA IP, where a neuron that is reset integrates nothing.

    Attributes:
        reset: (v, u, p, s) → v and u of a neuron after its spike, if v is at threshold.
        next_v: (v, u, current, bias, p, s) → v after the integration.
        next_u: (v after it, u, p, s) → u after the integration.
    """

    reset: Scalar
    next_v: Scalar
    next_u: Scalar


def izhikevich_step(ops: OpSet) -> IzhikevichStep:
    """The parts of a step of the quadratic neuron, in some ops."""
    inlined, select, clip = ops.inlined, ops.select, ops.clip
    wide, narrow, rounded = ops.wide, ops.narrow, ops.rounded
    k, q = field_indices(Constants, ops), field_indices(Coefficients, ops)
    A1, A2, A3, A4, B1, B2, B3 = q.a1, q.a2, q.a3, q.a4, q.b1, q.b2, q.b3
    C, D, THRESHOLD, GAIN = q.c, q.d, q.threshold, q.gain
    V_SCALE, V_UNIT, V_LOW, V_HIGH = k.v_scale, k.v_unit, k.v_low, k.v_high
    U_SCALE, U_UNIT, U_LOW, U_HIGH = k.u_scale, k.u_unit, k.u_low, k.u_high
    I_LOW, I_HIGH = k.i_low, k.i_high

    @inlined
    def reset(v, u, p, s):  # type: ignore[no-untyped-def]
        fired = v >= p[THRESHOLD]
        after_spike = clip(u + p[D], s[U_LOW], s[U_HIGH])
        return select(fired, p[C], v), select(fired, after_spike, u)

    @inlined
    def next_v(v, u, current, bias, p, s):  # type: ignore[no-untyped-def]
        scale, unit = wide(s[V_SCALE]), wide(s[V_UNIT])
        old = wide(v)
        i = clip(rounded(wide(p[GAIN]) * wide(current), scale, unit), wide(s[I_LOW]), wide(s[I_HIGH]))
        square = rounded(old * old, scale, unit)
        change = wide(p[A1]) * square + wide(p[A2]) * old + wide(p[A3]) * wide(u)
        change = change + (wide(p[A4]) + wide(bias))
        new = old + i + rounded(change, scale, unit)
        return narrow(clip(new, wide(s[V_LOW]), wide(s[V_HIGH])))

    @inlined
    def next_u(v, u, p, s):  # type: ignore[no-untyped-def]
        change = wide(p[B1]) * wide(v) + wide(p[B2]) * wide(u) + wide(p[B3])
        new = wide(u) + rounded(change, wide(s[U_SCALE]), wide(s[U_UNIT]))
        return narrow(clip(new, wide(s[U_LOW]), wide(s[U_HIGH])))

    return IzhikevichStep(reset, next_v, next_u)


def _places_of_lif(mode: ResetMode, ops: OpSet) -> Value:
    """The places of the coefficients of LIF with that reset."""
    return field_indices(QuantizedValueLIFCoefficients if mode == "value" else QuantizedLIFCoefficients, ops)


def lif_step(ops: OpSet, mode: ResetMode) -> Scalar:
    """The step of LIF in some ops: (v, current, bias, p, s) → v.

    A step after a spike v loses the threshold, behind its decay ("subtract") or before it ("soft"), or begins at zero
    ("zero") or at v_reset ("value").
    """
    select, clip, wide, narrow, rounded = (
        ops.select, ops.clip, ops.wide, ops.narrow, ops.rounded,
    )  # fmt: skip
    zero, one, zeroes = ops.number(0.0), ops.number(1.0), ops.constant(mode == "zero")
    to_value, is_soft = ops.constant(mode == "value"), ops.constant(mode == "soft")
    k, q = field_indices(Constants, ops), _places_of_lif(mode, ops)
    BETA, THRESHOLD, V_RESET, GAIN = q.beta, q.threshold, q[2], q.gain  # the third is read where it is v_reset alone
    V_SCALE, V_UNIT, V_LOW, V_HIGH = k.v_scale, k.v_unit, k.v_low, k.v_high
    I_LOW, I_HIGH = k.i_low, k.i_high

    @ops.inlined
    def next_v(v, current, bias, p, s):  # type: ignore[no-untyped-def]
        scale, unit = wide(s[V_SCALE]), wide(s[V_UNIT])
        above = select(v > p[THRESHOLD], one, zero)
        i = clip(rounded(wide(p[GAIN]) * wide(current), scale, unit), wide(s[I_LOW]), wide(s[I_HIGH]))
        kept, lost = wide(v), wide(above) * wide(p[THRESHOLD])
        if zeroes:
            kept, lost = wide(one - above) * kept, wide(zero * above)
        if to_value:
            kept, lost = wide(select(v > p[THRESHOLD], p[V_RESET], v)), wide(zero * above)
        if is_soft:
            kept, lost = kept - lost, wide(zero * above)
        leak = rounded(wide(p[BETA]) * kept + wide(bias), scale, unit)
        new = i + leak - lost
        return narrow(clip(new, wide(s[V_LOW]), wide(s[V_HIGH])))

    return next_v


def synapse(ops: OpSet) -> tuple[Scalar, Scalar]:
    """``apply_synapse`` and its vjp for a synapse with fixed-point sums, see ``izhi.kernels.dynamics.Dynamics``.

        s[t] = sat(round(decay·s[t−1] + x[t])),   y[t] = s[t]

    The factor 1 − decay is in the gain of the neuron's current.
    """
    wide, narrow, rounded, clip = ops.wide, ops.narrow, ops.rounded, ops.clip
    k = field_indices(Constants, ops)
    DECAY, SCALE, UNIT, LOW, HIGH = k.decay, k.trace_scale, k.trace_unit, k.trace_low, k.trace_high

    @ops.inlined
    def apply_synapse(x, y, a, b, s):  # type: ignore[no-untyped-def]
        total = rounded(wide(s[DECAY]) * wide(a) + wide(x), wide(s[SCALE]), wide(s[UNIT]))
        a = narrow(clip(total, wide(s[LOW]), wide(s[HIGH])))
        return a, b, a, y

    @ops.inlined
    def apply_synapse_vjp(x, y, a, b, ga, gb, gc, gg, s):  # type: ignore[no-untyped-def]
        ga = ga + gc
        return ga, gb, a * ga

    return apply_synapse, apply_synapse_vjp


def izhikevich(derivative: Scalar, ops: OpSet) -> tuple[Scalar, Scalar]:
    """(step, step_vjp) of the quadratic neuron, see ``izhi.kernels.dynamics.Dynamics``.

    The backward step looks at v after the step, which is slow to compute again.
    """
    inlined, select, clip = ops.inlined, ops.select, ops.clip
    wide, narrow, rounded = ops.wide, ops.narrow, ops.rounded
    zero, one, two = ops.number(0.0), ops.number(1.0), ops.number(2.0)
    k, q = field_indices(Constants, ops), field_indices(Coefficients, ops)
    A1, A2, A3, B1, B2, THRESHOLD, GAIN = q.a1, q.a2, q.a3, q.b1, q.b2, q.threshold, q.gain
    LIMIT, SPAN = k.jacobian_limit, k.span
    FIRST, SECOND = k.surrogate_first, k.surrogate_second
    V_SCALE, V_UNIT = k.v_scale, k.v_unit
    reset, next_v, next_u = izhikevich_step(ops)

    @inlined
    def step(v, u, current, g, bias, p, s):  # type: ignore[no-untyped-def]
        fired = v >= p[THRESHOLD]
        vs, us = reset(v, u, p, s)
        vn = next_v(vs, us, current, bias, p, s)
        un = next_u(vn, us, p, s)
        return select(fired, vs, vn), select(fired, us, un), select(fired, one, zero)

    @inlined
    def step_vjp(v, u, current, g, bias, gv, gu, gs, ahead, p, s):  # type: ignore[no-untyped-def]
        limit, span = s[LIMIT], s[SPAN]
        fired = v >= p[THRESHOLD]
        vs, us = reset(v, u, p, s)
        none = zero * gv
        per_span = one / span
        soft = gs * derivative((v - p[THRESHOLD]) * per_span, s[FIRST], s[SECOND]) * per_span
        rest_v, rest_u = select(fired, gv, none), select(fired, gu, none)
        gv, gu = select(fired, none, gv), select(fired, none, gu)
        b1, b2, b3 = ahead * gu, us * gu, gu
        gv = gv + p[B1] * gu
        gu = gu + p[B2] * gu
        square = narrow(rounded(wide(vs) * wide(vs), wide(s[V_SCALE]), wide(s[V_UNIT])))
        a1, a2, a3, a4, gain = gv * square, gv * vs, gv * us, gv, gv * current
        gc, gb = p[GAIN] * gv, gv
        jacobian = clip(one + (two * p[A1] * vs + p[A2]), -limit, limit)
        gu = gu + p[A3] * gv + rest_u
        gv = jacobian * gv + rest_v
        c, d = select(fired, gv, none), select(fired, gu, none)
        gv = select(fired, none, gv) + soft
        return gv, gu, gc, none, gb, (a1, a2, a3, a4, b1, b2, b3, c, d, -soft, gain)

    return step, step_vjp


def lif(mode: ResetMode, derivative: Scalar, ops: OpSet) -> tuple[Scalar, Scalar]:
    """(step, step_vjp) of LIF; the backward step looks at v after the step, too."""
    inlined, select = ops.inlined, ops.select
    zero, one, zeroes = ops.number(0.0), ops.number(1.0), ops.constant(mode == "zero")
    to_value, is_soft = ops.constant(mode == "value"), ops.constant(mode == "soft")
    k, q = field_indices(Constants, ops), _places_of_lif(mode, ops)
    BETA, THRESHOLD, V_RESET, GAIN = q.beta, q.threshold, q[2], q.gain
    FIRST, SECOND = k.surrogate_first, k.surrogate_second
    next_v = lif_step(ops, mode)

    @inlined
    def step(v, u, current, g, bias, p, s):  # type: ignore[no-untyped-def]
        new = next_v(v, current, bias, p, s)
        return new, u, select(new - p[THRESHOLD] > zero, one, zero)

    @inlined
    def step_vjp(v, u, current, g, bias, gv, gu, gs, ahead, p, s):  # type: ignore[no-untyped-def]
        above = select(v > p[THRESHOLD], one, zero)
        soft = gs * derivative(ahead - p[THRESHOLD], s[FIRST], s[SECOND])
        gv = gv + soft
        kept, lost = gv, above * gv
        if zeroes:
            kept, lost = (one - above) * gv, zero * gv
        if is_soft:
            v, lost = v - above * p[THRESHOLD], p[BETA] * lost
        gradients = v * kept, -soft - lost, current * gv
        if to_value:
            kept, began = (one - above) * gv, above * gv
            gradients = v * kept + p[V_RESET] * began, -soft, p[BETA] * began, current * gv  # type: ignore[assignment]
        return p[BETA] * kept, gu, p[GAIN] * gv, zero * gv, gv, gradients

    return step, step_vjp
