"""One step of synapse and neuron on single numbers, and back: what every kernel's loop over time inlines.

The functions follow ``reference.arrive``, ``izhikevich_step`` and ``lif_step`` operation by operation, so
that spikes are equal in float32. They are written in the words that all kernel compilers share, which
each device gives as its ``Vocabulary``; what is fixed for a plan is a constant to the compiler.
"""

from __future__ import annotations

from typing import NamedTuple

from izhi.kernels.plan import EventOrder, Plan, Reset
from izhi.kernels.vocabulary import Scalar, Vocabulary, derivative_of


class Dynamics(NamedTuple):
    """The functions of a plan.

    Attributes:
        arrive: (x, y, a, b, s) → traces a, b after; current, conductance.
        arrive_back: (x, y, a, b, gradients of traces, current, conductance, s) → gradients of the
            traces after the step, which are those of x and y; gradient of the decay.
        advance: (v, u, current, conductance, p, s) → v, u, spike.
        retreat: (v, u, current, conductance, gradients of v, u after and of the spike, v after, p, s) →
            gradients of v, u before, of current and conductance, and of each coefficient.
            Quantised dynamics look at v after the step, which is slow to compute again, and take a
            constant that replaces a4 for the conductance, which they do not have.
    """

    arrive: Scalar
    arrive_back: Scalar
    advance: Scalar
    retreat: Scalar


def dynamics(plan: Plan, words: Vocabulary) -> Dynamics:
    """The functions of a plan in the words of a compiler."""
    derivative = derivative_of(plan.surrogate, words)
    arrive, arrive_back = _synapse(plan, words)
    if isinstance(plan.dynamics, Reset):
        lif = _quantized_lif if plan.quantized else _lif
        advance, retreat = lif(plan.dynamics, derivative, plan.coupled, words)
    else:
        advance, retreat = _izhikevich(plan.dynamics, derivative, plan, words)
    return Dynamics(arrive, arrive_back, advance, retreat)


def _synapse(plan: Plan, words: Vocabulary) -> tuple[Scalar, Scalar]:
    inlined, constant, number = words[:3]
    coupled, one = constant(plan.coupled), number(1.0)

    @inlined
    def arrive(x, y, a, b, s):  # type: ignore[no-untyped-def]
        decay, kappa = s[8], s[9]
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
    def arrive_back(x, y, a, b, ga, gb, gc, gg, s):  # type: ignore[no-untyped-def]
        decay, kappa = s[8], s[9]
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

    return arrive, arrive_back


def _rounded(words: Vocabulary) -> Scalar:
    """A float64 rounded to a multiple of a unit, halves upwards; scale is 1/unit."""
    floor, half = words.floor, words.number(0.5)

    @words.inlined
    def rounded(x, scale, unit):  # type: ignore[no-untyped-def]
        return floor(x * scale + half) * unit

    return rounded


def _izhikevich(
    order: EventOrder, derivative: Scalar, plan: Plan, words: Vocabulary
) -> tuple[Scalar, Scalar]:
    inlined, constant, number, select, clip, _, _, wide, narrow, _ = words
    rounded = _rounded(words)
    quantized = constant(plan.quantized)
    coupled = constant(plan.coupled)
    old_spike, rests = constant(order.spike_on == "old v"), constant(order.rests)
    before, after = constant(order.reset == "before"), constant(order.reset == "after")
    halves, u_old = constant(order.substeps == 2), constant(order.u_from == "old v")
    zero, one, two = number(0.0), number(1.0), number(2.0)

    @inlined
    def quantized_v(v, u, current, constant, p, s):  # type: ignore[no-untyped-def]
        """v after a step of fixed-point arithmetic, as izhi.fixed has it; dt is in the coefficients."""
        scale, unit = wide(s[10]), wide(s[11])
        wide_v = wide(v)
        i = clip(rounded(wide(p[10]) * wide(current), scale, unit), wide(s[16]), wide(s[17]))
        square = rounded(wide_v * wide_v, scale, unit)
        change = wide(p[0]) * square + wide(p[1]) * wide_v + wide(p[2]) * wide(u) + wide(constant)
        new = wide_v + i + rounded(change, scale, unit)
        return narrow(clip(new, wide(s[2]), wide(s[3])))

    @inlined
    def quantized_u(v, u, p, s):  # type: ignore[no-untyped-def]
        """u after a step of fixed-point arithmetic, with the new v."""
        change = wide(p[4]) * wide(v) + wide(p[5]) * wide(u) + wide(p[6])
        new = wide(u) + rounded(change, wide(s[12]), wide(s[13]))
        return narrow(clip(new, wide(s[14]), wide(s[15])))

    @inlined
    def substep(v, u, current, g, p, s):  # type: ignore[no-untyped-def]
        a1, a2, a3, a4, b1, b2, b3, c, d, threshold, gain = p
        h = s[1]
        if quantized:
            return quantized_v(v, u, current, g, p, s), u
        new = v + h * (a1 * v * v + a2 * v)
        if coupled:
            new = new - h * gain * g * v
        new = new + h * (a3 * u + a4 + gain * current)
        if u_old:
            u = u + h * (b1 * v + b2 * u + b3)
        return clip(new, s[2], s[3]), u

    @inlined
    def reset(v, u, p, s):  # type: ignore[no-untyped-def]
        """Before the integration, where the order has it there."""
        if before:
            fired = v >= p[9]
            after_spike = u + p[8]
            if quantized:
                after_spike = clip(after_spike, s[14], s[15])
            u = select(fired, after_spike, u)
            v = select(fired, p[7], v)
        return v, u

    @inlined
    def integrate(v, u, current, g, p, s):  # type: ignore[no-untyped-def]
        """v, u half-way (or before, where there is one step), and after the whole step."""
        vm, um = v, u
        if halves:
            vm, um = substep(v, u, current, g, p, s)
        vn, un = substep(vm, um, current, g, p, s)
        if quantized:
            un = quantized_u(vn, un, p, s)
        elif not u_old:
            un = un + s[0] * (p[4] * vn + p[5] * un + p[6])
        return vm, um, vn, un

    @inlined
    def advance(v, u, current, g, p, s):  # type: ignore[no-untyped-def]
        threshold = p[9]
        fired = v >= threshold
        vs, us = reset(v, u, p, s)
        vm, um, vn, un = integrate(vs, us, current, g, p, s)
        if rests:
            vn = select(fired, vs, vn)
            un = select(fired, us, un)
        spike = vn >= threshold
        if old_spike:
            spike = fired
        if after:
            un = select(spike, un + p[8], un)
            vn = select(spike, p[7], vn)
        return vn, un, select(spike, one, zero)

    @inlined
    def back(v, u, g, gv, gu, p, s):  # type: ignore[no-untyped-def]
        """Through one sub-step."""
        h, limit, gain = s[1], s[4], p[10]
        slope = two * p[0] * v + p[1]
        if coupled:
            slope = slope - gain * g
        jacobian = clip(one + h * slope, -limit, limit)
        before_v, before_u = jacobian * gv, gu + h * p[2] * gv
        if u_old:
            before_v = before_v + h * p[4] * gu
            before_u = before_u + h * p[5] * gu
        gc, gg = h * gain * gv, h * gv
        if not quantized:
            gg = -v * gc
        return before_v, before_u, gc, gg

    @inlined
    def of_coefficients(v, u, current, g, gv, gu, s):  # type: ignore[no-untyped-def]
        """Gradients of a1…a4, b1…b3 and gain by one sub-step."""
        hv, hu = s[1] * gv, s[1] * gu
        if not u_old:
            hu = zero * gu
        square = v * v
        if quantized:
            square = narrow(rounded(wide(v) * wide(v), wide(s[10]), wide(s[11])))
        driven = current
        if coupled:
            driven = current - g * v
        return hv * square, hv * v, hv * u, hv, hu * v, hu * u, hu, hv * driven

    @inlined
    def retreat(v, u, current, g, gv, gu, gs, ahead, p, s):  # type: ignore[no-untyped-def]
        threshold, span, dt = p[9], s[5], s[0]
        fired = v >= threshold
        vs, us = reset(v, u, p, s)
        if quantized:
            vm, um, vn = vs, us, ahead
        else:
            vm, um, vn, _ = integrate(vs, us, current, g, p, s)
        none = zero * gv
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
        soft = gs * derivative((tested - threshold) / span, s[6], s[7]) / span
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
            gv = gv + dt * p[4] * gu
            gu = gu + dt * p[5] * gu
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
        return gv, gu, gc, gg, gradients

    return advance, retreat


def _lif(
    mode: Reset, derivative: Scalar, is_coupled: bool, words: Vocabulary
) -> tuple[Scalar, Scalar]:
    inlined, constant, number, select = words[:4]
    coupled = constant(is_coupled)
    subtract, to_zero = constant(mode.mode == "subtract"), constant(mode.mode == "zero")
    at_once = constant(not mode.delay and mode.mode != "none")
    zero, one = number(0.0), number(1.0)

    @inlined
    def integrate(v, current, g, p):  # type: ignore[no-untyped-def]
        """Whether v was above threshold; v after the reset of "zero"; v after the step."""
        beta, threshold = p
        above = select(v > threshold, one, zero)
        held = v
        if coupled:
            current = current - g * v
        if to_zero:
            held = (one - above) * v
        new = beta * held + current
        if subtract:
            new = new - above * threshold
        return above, held, new

    @inlined
    def advance(v, u, current, g, p, s):  # type: ignore[no-untyped-def]
        above, held, new = integrate(v, current, g, p)
        spike = select(new - p[1] > zero, one, zero)
        if at_once:
            if subtract:
                new = new - (spike - above) * p[1]
            else:
                new = new - (spike - above) * new
        return new, u, spike

    @inlined
    def retreat(v, u, current, g, gv, gu, gs, ahead, p, s):  # type: ignore[no-untyped-def]
        beta, threshold = p
        above, held, new = integrate(v, current, g, p)
        grad_threshold = zero * gv
        if at_once:
            due = select(new - threshold > zero, one, zero) - above
            if subtract:
                gs = gs - threshold * gv
                grad_threshold = -due * gv
            else:
                gs = gs - new * gv
                gv = (one - due) * gv
        soft = gs * derivative(new - threshold, s[6], s[7])
        gv = gv + soft
        grad_threshold = grad_threshold - soft
        if subtract:
            grad_threshold = grad_threshold - above * gv
        grad_beta = held * gv
        gc, gg = gv, -v * gv
        gv = beta * gv
        if to_zero:
            gv = (one - above) * gv
        if coupled:
            gv = gv - g * gc
        return gv, gu, gc, gg, (grad_beta, grad_threshold)

    return advance, retreat


def _quantized_lif(
    mode: Reset, derivative: Scalar, is_coupled: bool, words: Vocabulary
) -> tuple[Scalar, Scalar]:
    """LIF in fixed-point numbers, as izhi.fixed has it: the reset of "subtract", a step later."""
    inlined, _, number, select, clip, _, _, wide, narrow, _ = words
    rounded = _rounded(words)
    zero, one = number(0.0), number(1.0)

    @inlined
    def integrate(v, current, constant, p, s):  # type: ignore[no-untyped-def]
        """v after the step."""
        beta, threshold, gain = p
        scale, unit = wide(s[10]), wide(s[11])
        above = select(v > threshold, one, zero)
        i = clip(rounded(wide(gain) * wide(current), scale, unit), wide(s[16]), wide(s[17]))
        leak = rounded(wide(beta) * wide(v) + wide(constant), scale, unit)
        new = i + leak - wide(above) * wide(threshold)
        return narrow(clip(new, wide(s[2]), wide(s[3])))

    @inlined
    def advance(v, u, current, g, p, s):  # type: ignore[no-untyped-def]
        new = integrate(v, current, g, p, s)
        return new, u, select(new - p[1] > zero, one, zero)

    @inlined
    def retreat(v, u, current, g, gv, gu, gs, ahead, p, s):  # type: ignore[no-untyped-def]
        above = select(v > p[1], one, zero)
        soft = gs * derivative(ahead - p[1], s[6], s[7])
        gv = gv + soft
        return p[0] * gv, gu, p[2] * gv, gv, (v * gv, -soft - above * gv, current * gv)

    return advance, retreat
