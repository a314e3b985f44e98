"""The neuron updates in plain torch: the equations, written once, and the truth for every kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from izhi.kernels.plan import EventOrder, Formats
from izhi.neurons.surrogate import SpikeGradient, spike


class Coefficients(NamedTuple):
    """The coefficients of the quadratic map; floats, or tensors that broadcast over (B, N)."""

    a1: Tensor | float
    a2: Tensor | float
    a3: Tensor | float
    a4: Tensor | float
    b1: Tensor | float
    b2: Tensor | float
    b3: Tensor | float
    c: Tensor | float
    d: Tensor | float
    threshold: Tensor | float
    gain: Tensor | float


@dataclass(frozen=True)
class IzhikevichSettings:
    """What is fixed about an Izhikevich layer.

    Attributes:
        order: order of events in a step.
        dt: time step.
        v_min, v_max: limits of v.
        jacobian_limit: limit of |∂v[t+1]/∂v[t]| in the backward pass; inf for plain BPTT.
        surrogate: derivative of the spike over (v − threshold)/span.
        span: threshold − c of the preset, the unit of the surrogate's argument.
        state_quant: applied to v and u after integration, before the neuron fires (reference only).
        formats: fixed-point numbers of the states, which then follow izhi.fixed exactly; dt is then in
            the coefficients.
    """

    order: EventOrder
    dt: float
    v_min: float
    v_max: float
    jacobian_limit: float
    surrogate: SpikeGradient
    span: float
    state_quant: Callable[[Tensor], Tensor] | None = None
    formats: Formats | None = None


class Synapse(NamedTuple):
    """How arriving spikes become a current over time, integrated with the neuron that they drive.

        s[t] = decay·s[t−1] + x[t],   y[t] = (1 − decay)·s[t]

    for the current and, where there is one, the conductance; then both are divided by
    1 + implicit·conductance.

    Attributes:
        decay: what is left of s after a step, a tensor of no dimensions.
        implicit: κ of an implicit step (see ``ConductanceSynapse``); 0 for an explicit one.
    """

    decay: Tensor
    implicit: float = 0.0


class Drive(NamedTuple):
    """What a connection gives a neuron: I(v) = current − conductance·v.

    Attributes:
        current: (T, B, N), or (B, N) for one step.
        conductance: of the same shape, or None for a current that does not depend on v.
        bias: (N,), a constant current, which arrives behind the synapse; None for none.
        synapse: dynamics between these and the neuron; None if they act in their own step only.
        feedback: R (N, N), by which the neurons' own spikes of the step before add R·z[t−1] to the
            current; None without recurrence.
        gain: () or (N,), by which a quantised neuron multiplies current, a sum of integers, before the
            bias is added; None for a current that is one.
    """

    current: Tensor
    conductance: Tensor | None = None
    bias: Tensor | None = None
    synapse: Synapse | None = None
    feedback: Tensor | None = None
    gain: Tensor | None = None

    def step(self, t: int) -> Drive:
        """The drive of step t alone."""
        g = None if self.conductance is None else self.conductance[t]
        return self._replace(current=self.current[t], conductance=g)


class Memory(NamedTuple):
    """What a layer of neurons carries besides its own v and u.

    Attributes:
        synapse: s of the current, and of the conductance, (B, N) each; empty without a synapse.
        spikes: the last spikes, (B, N), for a recurrent layer; else None.
    """

    synapse: tuple[Tensor, ...] = ()
    spikes: Tensor | None = None


def arrive(drive: Drive, memory: Memory) -> tuple[Drive, Memory]:
    """The drive of one step after feedback, synapse and bias, and the memory after it."""
    current, g, bias, synapse, feedback, _ = drive
    if feedback is not None and memory.spikes is not None:
        current = current + torch.nn.functional.linear(memory.spikes.to(feedback.dtype), feedback)
    if synapse is None:
        return Drive(current if bias is None else current + bias, g), memory
    kind = torch.float64 if current.dtype == torch.float64 else torch.float32
    arriving = [x.to(kind) for x in (current, g) if x is not None]
    held = memory.synapse or tuple(torch.zeros_like(x) for x in arriving)
    s = tuple(synapse.decay * a + x for a, x in zip(held, arriving, strict=True))
    filtered = [(1 - synapse.decay) * x for x in s]
    if synapse.implicit and g is not None:
        share = 1 / (1 + synapse.implicit * filtered[1])
        filtered = [x * share for x in filtered]
    if bias is not None:
        filtered[0] = filtered[0] + bias
    return Drive(filtered[0], None if g is None else filtered[1]), Memory(s, memory.spikes)


def remember(drive: Drive, memory: Memory, spikes: Tensor) -> Memory:
    """The memory after the spikes of a step, which feedback alone needs."""
    return memory if drive.feedback is None else memory._replace(spikes=spikes)


def _square_step(v: Tensor, g: Tensor | None, p: Coefficients, dt: float, limit: float) -> Tensor:
    """v + dt·(a1·v² + a2·v − gain·g·v), with its derivative by v limited in the backward pass."""
    after = v + dt * (p.a1 * v * v + p.a2 * v)
    if g is not None:
        after = after - dt * p.gain * g * v
    if limit == float("inf") or not torch.is_grad_enabled():
        return after
    fixed = v.detach()
    held = fixed + dt * (p.a1 * fixed * fixed + p.a2 * fixed)
    slope = 2 * p.a1 * fixed + p.a2
    if g is not None:
        held = held - dt * p.gain * g * fixed
        slope = slope - p.gain * g
    # v − fixed is zero in the forward pass and carries the limited derivative in the backward one.
    return held + (1 + dt * slope).detach().clamp(-limit, limit) * (v - fixed)


def _clamp(v: Tensor, low: float, high: float) -> Tensor:
    """v within its limits; a clamped v keeps its gradient, so that its neuron can still learn."""
    if not torch.is_grad_enabled():
        return v.clamp(low, high)
    if low == -math.inf and high == math.inf:
        return v  # below, an infinite v would become no number
    excess = v.detach() - v.detach().clamp(low, high)
    return v - excess


def izhikevich_step(
    drive: Drive, v: Tensor, u: Tensor, p: Coefficients, s: IzhikevichSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of the quadratic neuron in the given order of events.

        v' = a1·v² + a2·v + a3·u + a4 + gain·I,   u' = b1·v + b2·u + b3
        spike when v ≥ threshold;  after a spike v ← c, u ← u + d

    The reset flag is not differentiated, as in snnTorch; c and d get their gradient through it.

    Args:
        drive: input of this step, (B, N).
        v, u: state, (B, N).
        p: coefficients.
        s: settings, with the event order.

    Returns:
        spikes, v, u: (B, N) each.
    """
    if s.formats is not None:
        return _quantized_izhikevich_step(drive, v, u, p, s, s.formats)
    order = s.order
    spikes = spike((v - p.threshold) / s.span, s.surrogate) if order.spike_on == "old v" else None
    current, g = drive.current.to(v.dtype), drive.conductance
    fired = v >= p.threshold if order.reset == "before" else None
    if fired is not None:
        v = torch.where(fired, _like(p.c, v), v)
        u = u + fired.to(v.dtype) * p.d
    v_new, u_new = v, u
    dt = s.dt / order.substeps
    for _ in range(order.substeps):
        v_old = v_new
        v_new = _square_step(v_old, g, p, dt, s.jacobian_limit)
        v_new = v_new + dt * (p.a3 * u_new + p.a4 + p.gain * current)
        if order.u_from == "old v":
            u_new = u_new + dt * (p.b1 * v_old + p.b2 * u_new + p.b3)
        v_new = _clamp(v_new, s.v_min, s.v_max)
    if order.u_from == "new v":
        u_new = u_new + s.dt * (p.b1 * v_new + p.b2 * u_new + p.b3)
    if fired is not None and order.rests:
        v_new, u_new = torch.where(fired, v, v_new), torch.where(fired, u, u_new)
    if s.state_quant is not None:
        v_new, u_new = s.state_quant(v_new), s.state_quant(u_new)
    if spikes is None:
        spikes = spike((v_new - p.threshold) / s.span, s.surrogate)
    if order.reset == "after":
        fired = v_new >= p.threshold
        v_new = torch.where(fired, _like(p.c, v_new), v_new)
        u_new = u_new + fired.to(v_new.dtype) * p.d
    return spikes, v_new, u_new


class _Rounded(torch.autograd.Function):
    """x rounded to a multiple of 1/scale, halves upwards; the gradient goes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        return torch.floor(x * scale + 0.5) / scale

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g, None


def rounded(x: Tensor, scale: float) -> Tensor:
    """x rounded to a multiple of 1/scale, halves upwards, with its gradient let through."""
    return _Rounded.apply(x, scale)  # type: ignore[no-any-return, no-untyped-call]


def _quantized_izhikevich_step(
    drive: Drive, v: Tensor, u: Tensor, p: Coefficients, s: IzhikevichSettings, f: Formats
) -> tuple[Tensor, Tensor, Tensor]:
    """The step of izhi.fixed.IzhikevichNeuron in values instead of integers, exact in float64."""
    kind = v.dtype
    p = Coefficients(*(_wide(x) for x in p))
    v, u, current = v.double(), u.double(), drive.current.double()
    spikes = spike((v - p.threshold) / s.span, s.surrogate)
    fired = (v >= p.threshold).double()
    v = torch.lerp(v, _like(p.c, v), fired)
    u = _clamp(u + fired * p.d, f.u_low, f.u_high)
    i = _clamp(rounded(p.gain * current, f.v_scale), f.i_low, f.i_high)
    fixed = v.detach()
    square = rounded(fixed * fixed, f.v_scale)
    change = rounded(p.a1 * square + p.a2 * fixed + p.a3 * u + p.a4, f.v_scale)
    slope = (1 + 2 * p.a1 * fixed + p.a2).detach().clamp(-s.jacobian_limit, s.jacobian_limit)
    v_new = _clamp(fixed + i + change, f.v_low, f.v_high) + slope * (v - fixed)
    change = rounded(p.b1 * v_new + p.b2 * u + p.b3, f.u_scale)
    u_new = _clamp(u + change, f.u_low, f.u_high)
    v_new, u_new = torch.lerp(v_new, v, fired), torch.lerp(u_new, u, fired)
    return spikes.to(kind), v_new.to(kind), u_new.to(kind)


def _wide(x: Tensor | float) -> Tensor | float:
    return x.double() if isinstance(x, Tensor) else x


def izhikevich(
    drive: Drive, memory: Memory, v: Tensor, u: Tensor, p: Coefficients, s: IzhikevichSettings
) -> tuple[Tensor, Memory, Tensor, Tensor]:
    """All steps of ``izhikevich_step``: drive (T, B, N) → spikes (T, B, N), the last state."""
    outputs = []
    for t in range(drive.current.shape[0]):
        now, memory = arrive(drive.step(t), memory)
        spikes, v, u = izhikevich_step(now, v, u, p, s)
        memory = remember(drive, memory, spikes)
        outputs.append(spikes.to(drive.current.dtype))
    return torch.stack(outputs), memory, v, u


def lif(
    drive: Drive,
    memory: Memory,
    v: Tensor,
    p: Sequence[Tensor | float],
    s: LIFSettings,
) -> tuple[Tensor, Memory, Tensor]:
    """All steps of ``lif_step``: drive (T, B, N) → spikes (T, B, N), the last state."""
    outputs = []
    for t in range(drive.current.shape[0]):
        now, memory = arrive(drive.step(t), memory)
        spikes, v = lif_step(now, v, p, s)
        memory = remember(drive, memory, spikes)
        outputs.append(spikes.to(drive.current.dtype))
    return torch.stack(outputs), memory, v


def _like(value: Tensor | float, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).expand_as(like)


@dataclass(frozen=True)
class LIFSettings:
    """What is fixed about a LIF layer: the reset mode, its timing, the surrogate, and formats.

    With formats, states are fixed-point numbers that follow izhi.fixed exactly.
    """

    reset: str
    reset_delay: bool
    surrogate: SpikeGradient
    formats: Formats | None = None


def lif_step(
    drive: Drive, v: Tensor, p: Sequence[Tensor | float], s: LIFSettings
) -> tuple[Tensor, Tensor]:
    """One step of the leaky integrate-and-fire neuron, equal to ``snntorch.Leaky``.

        v ← β·v + I − R·threshold   (reset "subtract"),   β·(1 − R)·v + I   ("zero"),
        spike when v > threshold,

    where R, not differentiated, says that v was above threshold at the end of the step before, and I is
    taken at that v where it depends on it. With ``reset_delay`` False the reset takes place in the step
    of the spike, and is differentiated.

    Args:
        drive: input of this step, (B, N).
        v: state, (B, N).
        p: β and threshold; with formats also the gain of the current and a bias.
        s: settings.

    Returns:
        spikes, v: (B, N) each.
    """
    if s.formats is not None:
        return _quantized_lif_step(drive, v, p, s, s.formats)
    beta, threshold = p
    above = (v > threshold).to(v.dtype)
    current = drive.current.to(v.dtype)
    if drive.conductance is not None:
        current = current - drive.conductance * v
    if s.reset == "zero":
        v = (1 - above) * v
    v = beta * v + current
    if s.reset == "subtract":
        v = v - above * threshold
    spikes = spike(v - threshold, s.surrogate, strict=True)
    if not s.reset_delay and s.reset != "none":
        due = spikes - above
        v = v - due * (threshold if s.reset == "subtract" else v)
    return spikes, v


def _quantized_lif_step(
    drive: Drive, v: Tensor, p: Sequence[Tensor | float], s: LIFSettings, f: Formats
) -> tuple[Tensor, Tensor]:
    """The step of izhi.fixed.LIFNeuron in values instead of integers, exact in float64."""
    kind = v.dtype
    beta, threshold, gain, bias = (_wide(x) for x in p)
    v, current = v.double(), drive.current.double()
    above = (v > threshold).double()
    i = _clamp(rounded(gain * current, f.v_scale), f.i_low, f.i_high)
    leak = rounded(beta * v + bias, f.v_scale)
    v = _clamp(i + leak - above * threshold, f.v_low, f.v_high)
    return spike(v - threshold, s.surrogate, strict=True).to(kind), v.to(kind)
