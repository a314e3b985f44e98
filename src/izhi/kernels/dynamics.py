"""One step of synapse and neuron on single numbers, and back: what every kernel's loop over time inlines.

The functions follow ``reference.apply_synapse``, ``izhikevich_step`` and ``lif_step`` operation by operation, so
that spikes are equal in float32. They are written in the ops that all kernel compilers share, which
each device gives as its ``OpSet``; what is fixed for a plan is a constant to the compiler.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from izhi.kernels import quantized
from izhi.kernels.ops import OpSet, Scalar, field_indices
from izhi.kernels.plan import Constants, Plan, Reset
from izhi.kernels.synaptic_input import Coefficients, LIFCoefficients, ValueLIFCoefficients
from izhi.spec import EventOrder


class Dynamics(NamedTuple):
    """The functions of a plan; p are the neuron's coefficients, s the ``Constants`` of the call.

    Attributes:
        apply_synapse: (x, y, a, b, s) → traces a, b after; current, conductance.
        apply_synapse_vjp: (x, y, a, b, gradients of traces, current, conductance, s) → gradients of the
            traces after the step, which are those of x and y; gradient of the decay.
        step: (v, u, current, conductance, bias, p, s) → v, u, spike.
        step_vjp: (v, u, current, conductance, bias, gradients of v, u after and of the spike, v after,
            p, s) → gradients of v, u before, of current, conductance and bias, and of each coefficient.
    """

    apply_synapse: Scalar
    apply_synapse_vjp: Scalar
    step: Scalar
    step_vjp: Scalar


@cache
def dynamics(plan: Plan, ops: OpSet) -> Dynamics:
    """The functions of a plan in the ops of a compiler."""
    derivative = plan.surrogate.formula(ops)
    apply_synapse, apply_synapse_vjp = quantized.synapse(ops) if plan.quantized else _synapse(plan, ops)
    if isinstance(plan.dynamics, Reset):
        step, step_vjp = (
            quantized.lif(plan.dynamics.mode, derivative, ops)
            if plan.quantized
            else _lif(plan.dynamics, derivative, plan, ops)
        )
    else:
        step, step_vjp = (
            quantized.izhikevich(derivative, ops)
            if plan.quantized
            else _izhikevich(plan.dynamics, derivative, plan, ops)
        )
    return Dynamics(apply_synapse, apply_synapse_vjp, step, step_vjp)


def _synapse(plan: Plan, ops: OpSet) -> tuple[Scalar, Scalar]:
    inlined, one = ops.inlined, ops.number(1.0)
    coupled = ops.constant(plan.coupled)
    k = field_indices(Constants, ops)
    DECAY, IMPLICIT = k.decay, k.implicit

    @inlined
    def apply_synapse(x, y, a, b, s):  # type: ignore[no-untyped-def]
        decay, kappa = s[DECAY], s[IMPLICIT]
        a = decay * a + x
        current, g = (one - decay) * a, y
        if coupled:
            b = decay * b + y
            g = (one - decay) * b
            share = one / (one + kappa * g)
            current = current * share
            g = g * share
        return a, b, current, g

    @inlined
    def apply_synapse_vjp(x, y, a, b, ga, gb, gc, gg, s):  # type: ignore[no-untyped-def]
        decay, kappa = s[DECAY], s[IMPLICIT]
        after, b_after = decay * a + x, decay * b + y
        gi, gk = gc, gg
        if coupled:
            current, g = (one - decay) * after, (one - decay) * b_after
            share = one / (one + kappa * g)
            gi = gc * share
            gk = gg * share - kappa * share * share * (gc * current + gg * g)
        ga = ga + (one - decay) * gi
        grad_decay = a * ga - after * gi
        if coupled:
            gb = gb + (one - decay) * gk
            grad_decay = grad_decay + b * gb - b_after * gk
        return ga, gb, grad_decay

    return apply_synapse, apply_synapse_vjp


def _izhikevich(order: EventOrder, derivative: Scalar, plan: Plan, ops: OpSet) -> tuple[Scalar, Scalar]:
    inlined, constant, number, select, clip = ops[:5]
    coupled, biased = constant(plan.coupled), constant(plan.biased)
    old_spike, rests = constant(order.spike_on == "old v"), constant(order.rests)
    before, after = constant(order.reset == "before"), constant(order.reset == "after")
    halves, u_old = constant(order.substeps == 2), constant(order.u_from == "old v")
    zero, one, two = number(0.0), number(1.0), number(2.0)
    k, q = field_indices(Constants, ops), field_indices(Coefficients, ops)
    DT, SUBSTEP, LOW, HIGH = k.dt, k.substep, k.v_low, k.v_high
    LIMIT, SPAN = k.jacobian_limit, k.span
    FIRST, SECOND = k.surrogate_first, k.surrogate_second
    A1, A2, A3, A4, B1, B2, B3 = q.a1, q.a2, q.a3, q.a4, q.b1, q.b2, q.b3
    C, D, THRESHOLD, GAIN = q.c, q.d, q.threshold, q.gain

    @inlined
    def substep(v, u, current, g, p, s):  # type: ignore[no-untyped-def]
        h = s[SUBSTEP]
        new = v + h * (p[A1] * v * v + p[A2] * v)
        if coupled:
            new = new - h * p[GAIN] * g * v
        new = new + h * (p[A3] * u + p[A4] + p[GAIN] * current)
        if u_old:
            u = u + h * (p[B1] * v + p[B2] * u + p[B3])
        return clip(new, s[LOW], s[HIGH]), u

    @inlined
    def reset(v, u, p):  # type: ignore[no-untyped-def]
        """Before the integration, where the order has it there."""
        if before:
            fired = v >= p[THRESHOLD]
            u = select(fired, u + p[D], u)
            v = select(fired, p[C], v)
        return v, u

    @inlined
    def integrate(v, u, current, g, p, s):  # type: ignore[no-untyped-def]
        """v, u half-way (or before, where there is one step), and after the whole step."""
        vm, um = v, u
        if halves:
            vm, um = substep(v, u, current, g, p, s)
        vn, un = substep(vm, um, current, g, p, s)
        if not u_old:
            un = un + s[DT] * (p[B1] * vn + p[B2] * un + p[B3])
        return vm, um, vn, un

    @inlined
    def step(v, u, current, g, bias, p, s):  # type: ignore[no-untyped-def]
        threshold = p[THRESHOLD]
        if biased:
            current = current + bias
        fired = v >= threshold
        vs, us = reset(v, u, p)
        vm, um, vn, un = integrate(vs, us, current, g, p, s)
        if rests:
            vn = select(fired, vs, vn)
            un = select(fired, us, un)
        spike = vn >= threshold
        if old_spike:
            spike = fired
        if after:
            un = select(spike, un + p[D], un)
            vn = select(spike, p[C], vn)
        return vn, un, select(spike, one, zero)

    @inlined
    def back(v, u, g, gv, gu, p, s):  # type: ignore[no-untyped-def]
        """Through one sub-step."""
        h, limit, gain = s[SUBSTEP], s[LIMIT], p[GAIN]
        slope = two * p[A1] * v + p[A2]
        if coupled:
            slope = slope - gain * g
        jacobian = clip(one + h * slope, -limit, limit)
        before_v, before_u = jacobian * gv, gu + h * p[A3] * gv
        if u_old:
            before_v = before_v + h * p[B1] * gu
            before_u = before_u + h * p[B2] * gu
        gc = h * gain * gv
        return before_v, before_u, gc, -v * gc

    @inlined
    def of_coefficients(v, u, current, g, gv, gu, s):  # type: ignore[no-untyped-def]
        """Gradients of a1…a4, b1…b3 and gain by one sub-step."""
        hv, hu = s[SUBSTEP] * gv, s[SUBSTEP] * gu
        if not u_old:
            hu = zero
        driven = current
        if coupled:
            driven = current - g * v
        return hv * (v * v), hv * v, hv * u, hv, hu * v, hu * u, hu, hv * driven

    @inlined
    def step_vjp(v, u, current, g, bias, gv, gu, gs, ahead, p, s):  # type: ignore[no-untyped-def]
        threshold, span, dt = p[THRESHOLD], s[SPAN], s[DT]
        if biased:
            current = current + bias
        fired = v >= threshold
        vs, us = reset(v, u, p)
        vm, um, vn, _ = integrate(vs, us, current, g, p, s)
        none = zero
        grad_c, grad_d = none, none
        tested = vn
        if rests:
            tested = select(fired, vs, vn)
        if old_spike:
            tested = v
        if after:
            spiked = tested >= threshold
            grad_c = select(spiked, gv, none)
            grad_d = select(spiked, gu, none)
            gv = select(spiked, none, gv)
        # Once for all lanes: a division takes as long as ten products.
        per_span = one / span
        soft = gs * derivative((tested - threshold) * per_span, s[FIRST], s[SECOND]) * per_span
        if not old_spike:
            gv = gv + soft
        rest_v, rest_u = none, none
        if rests:
            rest_v = select(fired, gv, none)
            rest_u = select(fired, gu, none)
            gv = select(fired, none, gv)
            gu = select(fired, none, gu)
        b1, b2, b3 = none, none, none
        if not u_old:
            b1, b2, b3 = dt * vn * gu, dt * um * gu, dt * gu
            gv = gv + dt * p[B1] * gu
            gu = gu + dt * p[B2] * gu
        d = of_coefficients(vm, um, current, g, gv, gu, s)
        gv, gu, gc, gg = back(vm, um, g, gv, gu, p, s)
        if halves:
            e = of_coefficients(vs, us, current, g, gv, gu, s)
            d = (
                d[0] + e[0], d[1] + e[1], d[2] + e[2], d[3] + e[3],
                d[4] + e[4], d[5] + e[5], d[6] + e[6], d[7] + e[7],
            )  # fmt: skip
            gv, gu, gc2, gg2 = back(vs, us, g, gv, gu, p, s)
            gc, gg = gc + gc2, gg + gg2
        gv, gu = gv + rest_v, gu + rest_u
        if before:
            grad_c = select(fired, gv, none)
            grad_d = select(fired, gu, none)
            gv = select(fired, none, gv)
        if old_spike:
            gv = gv + soft
        gradients = (
            d[0], d[1], d[2], d[3], d[4] + b1, d[5] + b2, d[6] + b3,
            grad_c, grad_d, -soft, d[7],
        )  # fmt: skip
        return gv, gu, gc, gg, gc, gradients

    return step, step_vjp


def _lif(mode: Reset, derivative: Scalar, plan: Plan, ops: OpSet) -> tuple[Scalar, Scalar]:
    inlined, constant, number, select = ops[:4]
    coupled, biased = constant(plan.coupled), constant(plan.biased)
    subtract, to_zero = constant(mode.mode == "subtract"), constant(mode.mode == "zero")
    to_value, is_soft = constant(mode.mode == "value"), constant(mode.mode == "soft")
    soft_later, by_threshold = constant(mode == Reset("soft", True)), constant(mode.mode in ("subtract", "soft"))
    at_once = constant(not mode.delay and mode.mode != "none")
    zero, one = number(0.0), number(1.0)
    k = field_indices(Constants, ops)
    q = field_indices(ValueLIFCoefficients if mode.mode == "value" else LIFCoefficients, ops)
    FIRST, SECOND = k.surrogate_first, k.surrogate_second
    BETA, THRESHOLD, V_RESET = q.beta, q.threshold, q[-1]  # the last is read where it is v_reset alone

    @inlined
    def integrate(v, current, g, p):  # type: ignore[no-untyped-def]
        """Whether v was above threshold; v after the reset of "zero", "value" or "soft"; v after the step."""
        beta, threshold = p[BETA], p[THRESHOLD]
        above = select(v > threshold, one, zero)
        held = v
        if coupled:
            current = current - g * v
        if to_zero:
            held = (one - above) * v
        if to_value:
            held = select(v > threshold, p[V_RESET], v)
        if soft_later:
            held = v - above * threshold
        new = beta * held + current
        if subtract:
            new = new - above * threshold
        return above, held, new

    @inlined
    def step(v, u, current, g, bias, p, s):  # type: ignore[no-untyped-def]
        threshold = p[THRESHOLD]
        if biased:
            current = current + bias
        above, held, new = integrate(v, current, g, p)
        spike = select(new - threshold > zero, one, zero)
        if at_once:
            due = spike - above
            if is_soft:
                due = spike
            if by_threshold:
                new = new - due * threshold
            else:
                new = new - due * new
            if to_value:
                new = new + due * p[V_RESET]
        return new, u, spike

    @inlined
    def step_vjp(v, u, current, g, bias, gv, gu, gs, ahead, p, s):  # type: ignore[no-untyped-def]
        beta, threshold = p[BETA], p[THRESHOLD]
        if biased:
            current = current + bias
        above, held, new = integrate(v, current, g, p)
        grad_threshold, grad_reset = zero, zero
        if at_once:
            spike = select(new - threshold > zero, one, zero)
            due = spike - above
            if is_soft:
                due = spike
            if by_threshold:
                gs = gs - threshold * gv
                grad_threshold = -due * gv
            else:
                gs = gs - new * gv
                if to_value:
                    gs = gs + p[V_RESET] * gv
                    grad_reset = due * gv
                gv = (one - due) * gv
        soft = gs * derivative(new - threshold, s[FIRST], s[SECOND])
        gv = gv + soft
        grad_threshold = grad_threshold - soft
        if subtract:
            grad_threshold = grad_threshold - above * gv
        grad_beta = held * gv
        gc, gg = gv, -v * gv
        gv = beta * gv
        if to_zero:
            gv = (one - above) * gv
        if soft_later:
            grad_threshold = grad_threshold - above * gv
        gradients = grad_beta, grad_threshold
        if to_value:
            grad_reset = grad_reset + select(v > threshold, gv, zero)
            gradients = grad_beta, grad_threshold, grad_reset  # type: ignore[assignment]
            gv = select(v > threshold, zero, gv)
        if coupled:
            gv = gv - g * gc
        return gv, gu, gc, gg, gc, gradients

    return step, step_vjp
