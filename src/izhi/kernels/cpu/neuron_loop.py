"""The loops over the lanes of one time step, forward and backward, which every kernel of neurons inlines."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import torch

from izhi.compiled import inlined
from izhi.kernels.cpu.lanes import coefficients_of
from izhi.kernels.cpu.scalars import OPS, codec, f32, store_bf16
from izhi.kernels.dynamics import dynamics
from izhi.kernels.ops import Scalar, Value, field_indices
from izhi.kernels.plan import Constants, Plan


@inlined
def _emit_nothing(out: Value, i: Value, spike: Value, bit: Value) -> None:
    pass


@inlined
def _emit_bit(out: Value, i: Value, spike: Value, bit: Value) -> None:
    out[i] |= bit if spike != f32(0) else np.uint32(0)


@inlined
def _emit_bf16(out: Value, i: Value, spike: Value, bit: Value) -> None:
    out[i] = store_bf16(spike)


@inlined
def _emit_f32(out: Value, i: Value, spike: Value, bit: Value) -> None:
    out[i] = spike


@cache
def forward_loop(plan: Plan, dtype: torch.dtype, spikes: Literal["numbers", "bits", "none"]) -> Scalar:
    """The loop of a forward step.

    It takes (lanes, current, conductance, state z, coefficients q of each lane, those of all lanes, bias of each lane,
    constants, spikes, bit of the step), and changes z and the spikes.

    Args:
        plan: of the neurons.
        dtype: of current, conductance and spikes as numbers.
        spikes: whether spikes are written, as numbers or as bits of words.
    """
    load = codec(dtype)[0]
    apply_synapse, _, step, _ = dynamics(plan, OPS)
    collect, _ = coefficients_of(plan)
    own, states, two = plan.own, plan.states, plan.own == 2
    filtered, coupled, shared = plan.filtered, plan.coupled, plan.shared
    emits = {"none": _emit_nothing, "bits": _emit_bit}
    emit = emits.get(spikes) or (_emit_bf16 if dtype == torch.bfloat16 else _emit_f32)

    @inlined
    def loop(size, x, y, z, q, same, bias_of, s, out, bit):  # type: ignore[no-untyped-def]
        for i in range(size):
            coefficients = same if shared else collect(q, i)
            current, g = load(x[i]), f32(0)
            if coupled:
                g = load(y[i])
            if filtered:
                a, b, current, g = apply_synapse(current, g, z[own, i], z[states - 1, i], s)
                z[states - 1, i] = b
                z[own, i] = a
            v, u, spike = step(z[0, i], z[1, i], current, g, bias_of[i], coefficients, s)
            z[0, i] = v
            if two:
                z[1, i] = u
            emit(out, i, spike, bit)

    return loop


@cache
def backward_loop(plan: Plan, dtype: torch.dtype, of_spikes: torch.dtype, fed_back: bool) -> Scalar:
    """The loop of a backward step.

    It takes (lanes, current, conductance, state before the step, state behind it z, gradients of spikes, of spikes that
    were fed back, and of the state gz, coefficients q of each lane, those of all lanes, bias, gradients of the bias and
    of coefficients, constants, gradients of current and conductance), and changes all gradients but those of spikes.

    Args:
        plan: of the neurons.
        dtype: of current and conductance, and of their gradients.
        of_spikes: of the gradients of spikes.
        fed_back: whether spikes were fed back.
    """
    (load, store, _), load_gradient = codec(dtype), codec(of_spikes)[0]
    apply_synapse, apply_synapse_vjp, _, step_vjp = dynamics(plan, OPS)
    collect, add = coefficients_of(plan)
    rows, own, states, two = plan.rows, plan.own, plan.states, plan.own == 2
    filtered, coupled, biased, shared, quantized = plan.filtered, plan.coupled, plan.biased, plan.shared, plan.quantized
    learn, learn_decay, DECAY = plan.learn != "none", plan.learn == "all", field_indices(Constants, OPS).decay

    @inlined
    def loop(size, x, y, before, z, gs_t, fed, gz, q, same, bias_of, bias_sum, total, s, gx, gy):  # type: ignore[no-untyped-def]
        for i in range(size):
            coefficients = same if shared else collect(q, i)
            arriving, beside = load(x[i]), f32(0)
            if coupled:
                beside = load(y[i])
            current, g = arriving, beside
            if filtered:
                a, b = before[own, i], before[states - 1, i]
                _, _, current, g = apply_synapse(arriving, beside, a, b, s)
            gs = load_gradient(gs_t[i])
            if fed_back:
                gs += fed[i]
            gv, gu, gc, gg, to_bias, gp = step_vjp(
                before[0, i], before[1, i], current, g, bias_of[i], gz[0, i], gz[1, i], gs, z[0, i], coefficients, s
            )
            if quantized:
                z[0, i] = before[0, i]
            if learn:
                add(total, i, gp)
            gz[0, i] = gv
            if two:
                gz[1, i] = gu
            if biased:
                bias_sum[i] += to_bias
            if filtered:
                ga, gb, grad_decay = apply_synapse_vjp(arriving, beside, a, b, gz[own, i], gz[states - 1, i], gc, gg, s)
                if learn_decay:
                    total[rows, i] += grad_decay
                gc, gg = ga, gb
                gz[states - 1, i] = s[DECAY] * gb
                gz[own, i] = s[DECAY] * ga
            gx[i] = store(gc)
            if coupled:
                gy[i] = store(gg)

    return loop


__all__ = ["backward_loop", "forward_loop"]
