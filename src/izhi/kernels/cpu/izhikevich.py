"""``reference.izhikevich`` as one pass over time forward and one backward."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from izhi.kernels.cpu.scalars import (
    BLOCK,
    DERIVATIVES,
    as_numpy,
    codec,
    compile_kernel,
    f32,
    inlined,
    surrogate_kind,
)
from izhi.kernels.reference import Coefficients, Drive, IzhikevichSettings
from izhi.neurons.parameters import EventOrder


@cache
def _izhikevich_forward(
    order: EventOrder, dtype: torch.dtype, coupled: bool, keep: bool
) -> Callable[..., None]:
    load, store = codec(dtype)
    old_spike, rests = order.spike_on == "old v", order.rests
    after, halves, u_old = order.reset == "after", order.substeps == 2, order.u_from == "old v"

    @compile_kernel
    def forward(current, conductance, v0, u0, p, s, spikes, w, middle, v1, u1):  # type: ignore[no-untyped-def]
        steps, lanes = current.shape
        a1, a2, a3, a4, b1, b2, b3 = p[0], p[1], p[2], p[3], p[4], p[5], p[6]
        c, d, threshold, gain = p[7], p[8], p[9], p[10]
        dt, h, low, high = s[0], s[1], s[2], s[3]
        zero, one = f32(0), f32(1)
        for block in prange((lanes + BLOCK - 1) // BLOCK):
            start = block * BLOCK
            size = min(BLOCK, lanes - start)
            v = np.empty(BLOCK, np.float32)
            u = np.empty(BLOCK, np.float32)
            for i in range(size):
                v[i] = v0[start + i]
                u[i] = u0[start + i]
                if keep:
                    w[0, start + i] = v0[start + i]
            for t in range(steps):
                now = current[t]
                for i in range(size):
                    lane = start + i
                    old = v[i]
                    fired = (t > 0) & (old >= threshold) if after else old >= threshold
                    vs = c if fired else old
                    us = u[i] + d if fired else u[i]
                    vn, un = vs, us
                    flow = a1 * vn * vn + a2 * vn
                    if coupled:
                        g = conductance[t, lane]
                        vn = vn + h * flow - h * gain * g * vn
                    else:
                        vn = vn + h * flow
                    vn = vn + h * (a3 * un + a4 + gain * load(now[lane]))
                    if u_old:
                        un = un + h * (b1 * vs + b2 * un + b3)
                    vn = min(max(vn, low), high)
                    if halves:
                        vm = vn
                        if keep:
                            middle[t, lane] = vm
                        flow = a1 * vm * vm + a2 * vm
                        vn = vm + h * flow - h * gain * g * vm if coupled else vm + h * flow
                        vn = vn + h * (a3 * un + a4 + gain * load(now[lane]))
                        if u_old:
                            un = un + h * (b1 * vm + b2 * un + b3)
                        vn = min(max(vn, low), high)
                    if not u_old:
                        un = un + dt * (b1 * vn + b2 * un + b3)
                    if rests:
                        vn = vs if fired else vn
                        un = us if fired else un
                    tested = old if old_spike else vn
                    spikes[t, lane] = store(one if tested >= threshold else zero)
                    v[i] = vn
                    u[i] = un
                    if keep:
                        w[t + 1, lane] = vn
            for i in range(size):
                fired = after & (v[i] >= threshold)
                v1[start + i] = c if fired else v[i]
                u1[start + i] = u[i] + d if fired else u[i]

    return forward  # type: ignore[no-any-return]


@inlined
def _back_through_substep(
    v: Any, gv: Any, gu: Any, g: Any, a1: Any, a2: Any, a3: Any, b1: Any, b2: Any,
    h: Any, limit: Any, u_old: Any,
) -> Any:  # fmt: skip
    """Gradients of v and u after an Euler sub-step → those before it; g is gain·conductance."""
    jacobian = min(max(f32(1) + h * (f32(2) * a1 * v + a2 - g), -limit), limit)
    if u_old:
        return jacobian * gv + h * b1 * gu, (f32(1) + h * b2) * gu + h * a3 * gv
    return jacobian * gv, gu + h * a3 * gv


@cache
def _izhikevich_backward(
    order: EventOrder, dtype: torch.dtype, coupled: bool, surrogate: Any
) -> Callable[..., None]:
    load, store = codec(dtype)
    derivative = DERIVATIVES[surrogate]
    old_spike, rests = order.spike_on == "old v", order.rests
    after, halves, u_old = order.reset == "after", order.substeps == 2, order.u_from == "old v"

    @compile_kernel
    def backward(  # type: ignore[no-untyped-def]
        grad_spikes, w, middle, conductance, p, s, grad_v1, grad_u1,
        grad_current, grad_conductance, grad_v0, grad_u0,
    ):  # fmt: skip
        steps, lanes = grad_spikes.shape
        a1, a2, a3, b1, b2 = p[0], p[1], p[2], p[4], p[5]
        c, threshold, gain = p[7], p[9], p[10]
        dt, h, limit, span, slope = s[0], s[1], s[4], s[5], s[6]
        zero, one = f32(0), f32(1)
        for block in prange((lanes + BLOCK - 1) // BLOCK):
            start = block * BLOCK
            size = min(BLOCK, lanes - start)
            gv = np.empty(BLOCK, np.float32)
            gu = np.empty(BLOCK, np.float32)
            for i in range(size):
                lane = start + i
                cut = after & (w[steps, lane] >= threshold)
                gv[i] = zero if cut else grad_v1[lane]
                gu[i] = grad_u1[lane]
            for back in range(steps):
                t = steps - 1 - back
                for i in range(size):
                    lane = start + i
                    old = w[t, lane]
                    fired = (t > 0) & (old >= threshold) if after else old >= threshold
                    vs = c if fired else old
                    gvn, gun = gv[i], gu[i]
                    gs = load(grad_spikes[t, lane])
                    if not old_spike:
                        x = (w[t + 1, lane] - threshold) / span
                        gvn = gvn + gs * derivative(x, slope) / span
                    rv, ru = gvn, gun
                    if u_old:
                        gus = gun
                    else:
                        gvn = gvn + dt * b1 * gun
                        gus = (one + dt * b2) * gun
                    gi = zero
                    gg = zero
                    g = zero
                    if coupled:
                        g = gain * conductance[t, lane]
                    if halves:
                        vm = middle[t, lane]
                        gi = gi + gvn
                        if coupled:
                            gg = gg - vm * gvn
                        gvn, gus = _back_through_substep(
                            vm, gvn, gus, g, a1, a2, a3, b1, b2, h, limit, u_old
                        )
                    gi = gi + gvn
                    if coupled:
                        gg = gg - vs * gvn
                    gvn, gus = _back_through_substep(
                        vs, gvn, gus, g, a1, a2, a3, b1, b2, h, limit, u_old
                    )
                    if rests:
                        gvn = rv if fired else gvn
                        gus = ru if fired else gus
                        gi = zero if fired else gi
                        if coupled:
                            gg = zero if fired else gg
                    grad_current[t, lane] = store(h * gain * gi)
                    if coupled:
                        grad_conductance[t, lane] = h * gain * gg
                    gvn = zero if fired else gvn
                    if old_spike:
                        x = (old - threshold) / span
                        gvn = gvn + gs * derivative(x, slope) / span
                    gv[i] = gvn
                    gu[i] = gus
            for i in range(size):
                grad_v0[start + i] = gv[i]
                grad_u0[start + i] = gu[i]

    return backward  # type: ignore[no-any-return]


class _Izhikevich(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, conductance: Tensor | None, v: Tensor, u: Tensor,
        p: Coefficients, s: IzhikevichSettings, keep: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        steps, lanes = current.shape[0], v.numel()
        coupled = conductance is not None
        g = conductance.float().contiguous() if conductance is not None else v.new_empty(0)
        rows = (steps, lanes)
        w = v.new_empty((steps + 1, lanes) if keep else (0, 0), dtype=torch.float32)
        middle = v.new_empty(
            rows if keep and s.order.substeps == 2 else (0, 0), dtype=torch.float32
        )
        spikes = torch.empty_like(current, memory_format=torch.contiguous_format)
        v1, u1 = torch.empty_like(v), torch.empty_like(u)
        numbers = np.array(p, np.float32)
        slope = s.surrogate.slope  # type: ignore[attr-defined]
        settings = np.array(
            (s.dt, s.dt / s.order.substeps, s.v_min, s.v_max, s.jacobian_limit, s.span, slope),
            np.float32,
        )
        _izhikevich_forward(s.order, current.dtype, coupled, keep)(
            as_numpy(current).reshape(rows), as_numpy(g).reshape(rows if coupled else (0, 0)),
            as_numpy(v).reshape(-1), as_numpy(u).reshape(-1), numbers, settings,
            as_numpy(spikes).reshape(rows), w.numpy(), middle.numpy(),
            v1.numpy().reshape(-1), u1.numpy().reshape(-1),
        )  # fmt: skip
        if keep:
            ctx.save_for_backward(w, middle, g)
            ctx.call = (s, current.dtype, coupled, numbers, settings, current.shape)
        return spikes, v1, u1

    @staticmethod
    def backward(ctx: Any, grad_spikes: Tensor, grad_v1: Tensor, grad_u1: Tensor) -> Any:
        w, middle, g = ctx.saved_tensors
        s, dtype, coupled, numbers, settings, shape = ctx.call
        rows = (shape[0], w.shape[1])
        grad_current = torch.empty(shape, dtype=dtype)
        grad_g = torch.empty(shape if coupled else (0, 0), dtype=torch.float32)
        grad_v0, grad_u0 = torch.empty_like(grad_v1), torch.empty_like(grad_u1)
        _izhikevich_backward(s.order, dtype, coupled, surrogate_kind(s.surrogate))(
            as_numpy(grad_spikes.to(dtype)).reshape(rows), w.numpy(), middle.numpy(),
            as_numpy(g).reshape(rows if coupled else (0, 0)), numbers, settings,
            as_numpy(grad_v1).reshape(-1), as_numpy(grad_u1).reshape(-1),
            as_numpy(grad_current).reshape(rows), as_numpy(grad_g).reshape(rows if coupled else (0, 0)),
            grad_v0.numpy().reshape(-1), grad_u0.numpy().reshape(-1),
        )  # fmt: skip
        return grad_current, grad_g if coupled else None, grad_v0, grad_u0, None, None, None


def izhikevich(
    drive: Drive, v: Tensor, u: Tensor, p: Coefficients, s: IzhikevichSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """``reference.izhikevich`` for constant coefficients on a CPU."""
    keep = torch.is_grad_enabled() and any(
        x is not None and x.requires_grad for x in (*drive, v, u)
    )
    v, u = v.float().contiguous(), u.float().contiguous()
    out: tuple[Tensor, Tensor, Tensor] = _Izhikevich.apply(*drive, v, u, p, s, keep)  # type: ignore[no-untyped-call]
    return out
