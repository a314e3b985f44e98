"""The neuron updates in plain torch: the equations, written once, and the truth for every kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor

from izhi.kernels import quantized
from izhi.kernels.ops import OpSet
from izhi.kernels.plan import Constants, Formats
from izhi.kernels.synaptic_input import (
    AnyLIFCoefficients,
    Coefficients,
    IzhikevichSettings,
    LIFSettings,
    Memory,
    SpikeGradient,
    SynapticInput,
    ValueLIFCoefficients,
)
from izhi.kernels.tracing import is_in_trace, is_traced
from izhi.spec import ResetMode


def apply_synapse(drive: SynapticInput, memory: Memory) -> tuple[SynapticInput, Memory]:
    """The drive of one step after feedback and synapse, and the memory after it.

    What is left of the drive is current, conductance and bias.
    """
    current, g, bias, synapse, feedback, _ = drive
    if feedback is not None and memory.spikes is not None:
        current = current + _fed_back(memory.spikes.to(feedback.dtype), feedback)
    if synapse is None:
        return SynapticInput(current, g, bias), memory
    kind = torch.float64 if current.dtype == torch.float64 else torch.float32
    arriving = [x.to(kind) for x in (current, g) if x is not None]
    held = memory.synapse or tuple(torch.zeros_like(x) for x in arriving)
    if synapse.grid is not None:
        constants = Constants().traced(synapse.grid)._replace(decay=synapse.decay)  # type: ignore[arg-type]
        _, _, exact, _ = _QUANTIZED_SYNAPSE(arriving[0], None, held[0], None, constants)
        trace = exact.to(kind)
        return SynapticInput(trace, g, bias), Memory((trace,), memory.spikes)
    s = tuple(synapse.decay * a + x for a, x in zip(held, arriving, strict=True))
    filtered = [(1 - synapse.decay) * x for x in s]
    if g is not None:
        share = 1 / (1 + synapse.implicit * filtered[1])
        filtered = [x * share for x in filtered]
    return SynapticInput(filtered[0], None if g is None else filtered[1], bias), Memory(s, memory.spikes)


def _fed_back(spikes: Tensor, feedback: Tensor) -> Tensor:
    """R·z: a matrix, or a convolution that keeps the size."""
    if feedback.dim() == 2:
        return torch.nn.functional.linear(spikes, feedback)
    convolve = torch.nn.functional.conv1d if feedback.dim() == 3 else torch.nn.functional.conv2d
    return convolve(spikes, feedback, padding="same")


def remember(drive: SynapticInput, memory: Memory, spikes: Tensor) -> Memory:
    """The memory after the spikes of a step, which feedback alone needs."""
    return memory if drive.feedback is None else memory._replace(spikes=spikes)


class _OnlyGradient(torch.autograd.Function):
    """x → 0, with the gradient of factor·x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor | float) -> Tensor:
        ctx.factor = factor
        return torch.zeros_like(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return g * ctx.factor, None


def only_gradient(x: Tensor, factor: Tensor | float = 1.0) -> Tensor:
    """Zeros with the gradient of factor·x; x − x.detach() would be no number where x is infinite."""
    if is_traced():  # compilers and torch.func take operations of torch alone
        return (x - x.detach()) * factor
    return _OnlyGradient.apply(x, factor)  # type: ignore[no-any-return, no-untyped-call]


def spike(x: Tensor, surrogate: SpikeGradient, *, strict: bool = False) -> Tensor:
    """1 where x ≥ 0 (x > 0 if ``strict``, as snnTorch does), with the surrogate's derivative."""
    fires = ((x > 0) if strict else (x >= 0)).to(x.dtype)
    return fires + only_gradient(surrogate(x))


def _is_plain() -> bool:
    """Whether nobody can ask for gradients, as whoever runs a trace may do later."""
    return not torch.is_grad_enabled() and not is_in_trace()


def _current(drive: SynapticInput, like: Tensor) -> Tensor:
    """Current and bias of a step, in the numbers of the state."""
    total = drive.current if drive.bias is None else drive.current + drive.bias
    return total.to(like.dtype)


def _square_step(v: Tensor, g: Tensor | None, p: Coefficients, dt: float, limit: float) -> Tensor:
    """v + dt·(a1·v² + a2·v − gain·g·v), with its derivative by v limited in the backward pass."""
    after = v + dt * (p.a1 * v * v + p.a2 * v)
    if g is not None:
        after = after - dt * p.gain * g * v
    if limit == float("inf") or _is_plain():
        return after
    fixed = v.detach()
    held = fixed + dt * (p.a1 * fixed * fixed + p.a2 * fixed)
    slope = 2 * p.a1 * fixed + p.a2
    if g is not None:
        held = held - dt * p.gain * g * fixed
        slope = slope - p.gain * g
    return held + only_gradient(v, (1 + dt * slope).detach().clamp(-limit, limit))


def _clamp(v: Tensor, low: float, high: float) -> Tensor:
    """v within its limits; a clamped v keeps its gradient, so that its neuron can still learn."""
    if _is_plain():
        return v.clamp(low, high)
    return v.detach().clamp(low, high) + only_gradient(v)


class _Rounded(torch.autograd.Function):
    """x rounded to a multiple of 1/scale, halves upwards; the gradient goes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        return torch.floor(x * scale + 0.5) / scale

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return g, None


def rounded(x: Tensor, scale: float) -> Tensor:
    """x rounded to a multiple of 1/scale, halves upwards, with its gradient let through."""
    return _Rounded.apply(x, scale)  # type: ignore[no-any-return, no-untyped-call]


def _wide(x: Tensor | float) -> Tensor | float:
    return x.double() if isinstance(x, Tensor) else x


#: The ops of torch, on whose tensors autograd works.
OPS = OpSet(
    inlined=lambda function: function,
    constant=lambda value: value,
    number=float,
    select=torch.where,
    clip=_clamp,
    exp=torch.exp,
    absolute=torch.abs,
    wide=_wide,
    narrow=lambda x: x,
    rounded=lambda x, scale, unit: rounded(x, scale),
)
_QUANTIZED_IZHIKEVICH = quantized.izhikevich_step(OPS)
_QUANTIZED_SYNAPSE, _ = quantized.synapse(OPS)
_QUANTIZED_LIF = {mode: quantized.lif_step(OPS, mode) for mode in get_args(ResetMode)}


def izhikevich_step(
    drive: SynapticInput, v: Tensor, u: Tensor, p: Coefficients, s: IzhikevichSettings
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
        return _quantized_izhikevich(drive, v, u, p, s, s.formats)
    order = s.order
    spikes = spike((v - p.threshold) * s.per_span, s.surrogate) if order.spike_on == "old v" else None
    fired = v >= p.threshold if order.reset == "before" else None
    current = _current(drive, v)
    if fired is not None:
        v, u = _reset(fired, v, u, p)
    v_new, u_new = _integrated(current, drive.conductance, v, u, p, s)
    if fired is not None and order.rests:
        v_new, u_new = torch.where(fired, v, v_new), torch.where(fired, u, u_new)
    if s.state_quant is not None:
        v_new, u_new = s.state_quant(v_new), s.state_quant(u_new)
    if spikes is None:
        spikes = spike((v_new - p.threshold) * s.per_span, s.surrogate)
    if order.reset == "after":
        v_new, u_new = _reset(v_new >= p.threshold, v_new, u_new, p)
    return spikes, v_new, u_new


def _reset(fired: Tensor, v: Tensor, u: Tensor, p: Coefficients) -> tuple[Tensor, Tensor]:
    c = torch.as_tensor(p.c, dtype=v.dtype, device=v.device)
    return torch.where(fired, c, v), u + fired.to(v.dtype) * p.d


def _integrated(
    current: Tensor, g: Tensor | None, v: Tensor, u: Tensor, p: Coefficients, s: IzhikevichSettings
) -> tuple[Tensor, Tensor]:
    """v and u after the Euler steps of one time step."""
    dt = s.dt / s.order.substeps
    for _ in range(s.order.substeps):
        before = v
        v = _square_step(before, g, p, dt, s.jacobian_limit)
        v = v + dt * (p.a3 * u + p.a4 + p.gain * current)
        if s.order.u_from == "old v":
            u = u + dt * (p.b1 * before + p.b2 * u + p.b3)
        v = _clamp(v, s.v_min, s.v_max)
    if s.order.u_from == "new v":
        u = u + s.dt * (p.b1 * v + p.b2 * u + p.b3)
    return v, u


def _quantized_izhikevich(
    drive: SynapticInput, v: Tensor, u: Tensor, p: Coefficients, s: IzhikevichSettings, formats: Formats
) -> tuple[Tensor, Tensor, Tensor]:
    """The step of izhi.fixed.IzhikevichNeuron in values instead of integers, exact in float64."""
    kind, step = v.dtype, _QUANTIZED_IZHIKEVICH
    p = Coefficients(*(_wide(x) for x in p))
    v, u, current, bias = v.double(), u.double(), drive.current.double(), _bias(drive)
    k, limit = Constants().quantized(formats), s.jacobian_limit
    spikes = spike((v - p.threshold) * s.per_span, s.surrogate)
    fired = v >= p.threshold
    v, u = step.reset(v, u, p, k)
    # The derivative by v is limited, as in _square_step.
    fixed = v.detach()
    slope = (1 + 2 * p.a1 * fixed + p.a2).detach().clamp(-limit, limit)
    v_new = step.next_v(fixed, u, current, bias, p, k) + only_gradient(v, slope)
    u_new = step.next_u(v_new, u, p, k)
    v_new, u_new = torch.where(fired, v, v_new), torch.where(fired, u, u_new)
    return spikes.to(kind), v_new.to(kind), u_new.to(kind)


def _bias(drive: SynapticInput) -> Tensor | float:
    return 0.0 if drive.bias is None else drive.bias.double()


def lif_step(drive: SynapticInput, v: Tensor, p: AnyLIFCoefficients, s: LIFSettings) -> tuple[Tensor, Tensor]:
    """One step of the leaky integrate-and-fire neuron, equal to ``snntorch.Leaky``.

        v ← β·v + I − R·threshold   (reset "subtract"),   β·(1 − R)·v + I   ("zero"),
        v ← β·((1 − R)·v + R·v_reset) + I   ("value"),   β·(v − R·threshold) + I   ("soft"),
        spike when v > threshold,

    where R, not differentiated, says that v was above threshold at the end of the step before, and I is
    taken at that v where it depends on it. With ``reset_delay`` False the reset takes place in the step
    of the spike, and is differentiated; what "soft" leaves above threshold is not reset again by itself.

    Args:
        drive: input of this step, (B, N).
        v: state, (B, N).
        p: coefficients; with formats those of a quantised neuron.
        s: settings.

    Returns:
        spikes, v: (B, N) each.
    """
    if s.formats is not None:
        return _quantized_lif(drive, v, p, s, s.formats)
    beta, threshold = p.beta, p.threshold
    above = (v > threshold).to(v.dtype)
    current = _current(drive, v)
    if drive.conductance is not None:
        current = current - drive.conductance * v
    if s.reset == "zero":
        v = (1 - above) * v
    if isinstance(p, ValueLIFCoefficients):
        v = torch.where(v > threshold, p.v_reset, v)
    if s.reset == "soft" and s.reset_delay:
        v = v - above * threshold
    v = beta * v + current
    if s.reset == "subtract":
        v = v - above * threshold
    spikes = spike(v - threshold, s.surrogate, strict=True)
    if not s.reset_delay and s.reset != "none":
        due = spikes if s.reset == "soft" else spikes - above
        v = v - due * (threshold if s.reset in ("subtract", "soft") else v)
        if isinstance(p, ValueLIFCoefficients):
            v = v + due * p.v_reset
    return spikes, v


def _quantized_lif(
    drive: SynapticInput, v: Tensor, p: AnyLIFCoefficients, s: LIFSettings, formats: Formats
) -> tuple[Tensor, Tensor]:
    """The step of izhi.fixed.LIFNeuron, or of its other resets, in values instead of integers, exact in float64."""
    wide = tuple(_wide(x) for x in p)
    k = Constants().quantized(formats)
    after = _QUANTIZED_LIF[s.reset](v.double(), drive.current.double(), _bias(drive), wide, k)
    spikes = spike(after - _wide(p.threshold), s.surrogate, strict=True)
    return spikes.to(v.dtype), after.to(v.dtype)


def izhikevich(
    drive: SynapticInput, memory: Memory, v: Tensor, u: Tensor, p: Coefficients, s: IzhikevichSettings
) -> tuple[Tensor, Memory, tuple[Tensor, ...]]:
    """All steps of ``izhikevich_step``: drive (T, B, N) → spikes (T, B, N), the last state."""
    return _over_time(drive, memory, (v, u), lambda now, v, u: izhikevich_step(now, v, u, p, s))


def lif(
    drive: SynapticInput,
    memory: Memory,
    v: Tensor,
    p: AnyLIFCoefficients,
    s: LIFSettings,
) -> tuple[Tensor, Memory, tuple[Tensor, ...]]:
    """All steps of ``lif_step``: drive (T, B, N) → spikes (T, B, N), the last state."""
    return _over_time(drive, memory, (v,), lambda now, v: lif_step(now, v, p, s))


def _over_time(
    drive: SynapticInput,
    memory: Memory,
    state: tuple[Tensor, ...],
    step: Callable[..., tuple[Tensor, ...]],
) -> tuple[Tensor, Memory, tuple[Tensor, ...]]:
    outputs = []
    for t in range(drive.current.shape[0]):
        now, memory = apply_synapse(drive.step(t), memory)
        spikes, *after = step(now, *state)
        state = tuple(after)
        memory = remember(drive, memory, spikes)
        outputs.append(spikes.to(drive.current.dtype))
    return torch.stack(outputs), memory, state
