"""A whole layer over time as one differentiable operation, computed by a kernel of some device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from izhi.kernels.arguments import coefficients_of, flat, no_decay, nothing, planned_call, planned_step
from izhi.kernels.cpu.rows import SMALL_OUTPUT
from izhi.kernels.device import Device
from izhi.kernels.events import WORD
from izhi.kernels.lazy import dense
from izhi.kernels.low_rank import factors_of
from izhi.kernels.packed import BinarySpikes, PackedSpikes
from izhi.kernels.plan import (
    KEEP_EVERY,
    Call,
    Gradients,
    LayerCall,
    LayerGradients,
    LayerKernels,
    Plan,
    SampleCall,
    SampleGradients,
)
from izhi.kernels.products import CountedSpikes, WeightedSpikes, format_beside, gradient_of_spikes
from izhi.kernels.routes import NeuronChoice
from izhi.kernels.synaptic_input import Memory, StepSettings, SynapticInput
from izhi.kernels.tracing import once_differentiable


def run_layer(
    device: Device, s: StepSettings, p: tuple[Tensor | float, ...], drive: WeightedSpikes, counted: CountedSpikes,
    memory: Memory, state: tuple[Tensor, ...],
) -> tuple[Tensor, Memory, tuple[Tensor, ...]]:  # fmt: skip
    """Run a product and the neurons behind it by one kernel of a device.

    Args:
        device: the kernels.
        s, p: settings and coefficients of the neurons.
        drive: spikes (T, B, I) and weights (N, I).
        counted: the spikes.
        memory: traces of the synapse.
        state: of the neurons, (B, N) each.

    Returns:
        spikes (T, B, N), memory and state after the last step.
    """
    plan, fixed, learned = planned_call(device, s, p, drive, counted.call.dtype, memory, state)
    spikes = drive.learning_spikes
    now = _Now(device, plan, _is_learned_from(spikes, drive.weight, *learned))
    call = LayerCall(counted.events, drive.weight.detach().contiguous(), *fixed)
    out, last = _FusedLayer.apply(now, device.LAYER, call, spikes, drive.weight, *learned)  # type: ignore[no-untyped-call]
    after = tuple(x.view(drive.shape[1:]) for x in last)
    return out, Memory(after[plan.own :]), after[: plan.own]


def run(
    device: Device, s: StepSettings, p: tuple[Tensor | float, ...], drive: SynapticInput, memory: Memory,
    state: tuple[Tensor, ...], choice: NeuronChoice,
) -> tuple[Tensor, Memory, tuple[Tensor, ...]]:  # fmt: skip
    """Run neurons over drive (T, B, …) by the kernels of a device; see ``run_layer``."""
    shape, dtype = drive.current.shape, drive.current.dtype
    plan, fixed, learned = planned_call(device, s, p, drive, choice.dtype, memory, state)
    current, conductance = flat(drive, choice.dtype)
    call = Call(current.detach().contiguous(), conductance.detach().contiguous(), *fixed)
    every = (current, conductance, *learned)
    now = _Now(device, plan, _is_learned_from(*every))
    out, last = _Fused.apply(now, call, shape, *every)  # type: ignore[no-untyped-call]
    after = tuple(x.view(shape[1:]) for x in last)
    return out.to(dtype), Memory(after[plan.own :]), after[: plan.own]


def run_samples(
    device: Device, s: StepSettings, p: tuple[Tensor | float, ...], drive: SynapticInput | WeightedSpikes,
    memory: Memory, state: tuple[Tensor, ...], choice: NeuronChoice,
) -> tuple[Tensor, Memory, tuple[Tensor, ...]]:  # fmt: skip
    """Run neurons by kernels of whole samples, under currents or few inputs and their weights; see ``run_layer``."""
    (_, batch, neurons), dtype = drive.shape, choice.dtype
    plan, fixed, learned = planned_call(device, s, p, drive, dtype, memory, state)
    if isinstance(drive, WeightedSpikes):
        assert isinstance(drive.spikes, Tensor)
        current, weight = drive.spikes.detach().float(), drive.weight.detach().float()
        driving, conductance = drive.weight, nothing(drive.device)[0]
    else:
        driving, conductance = flat(drive, dtype)
        current, weight = driving.detach(), None
    feedback, before = drive.feedback, memory.spikes
    recurrent = fed_back(feedback, before, dtype)
    call = SampleCall(current.contiguous(), weight, conductance.detach().contiguous(), *fixed, *recurrent)
    every = (driving, conductance, *learned, feedback, before)
    now = _Now(device, plan, _is_learned_from(*every))
    out, last, of_last = _FusedSamples.apply(now, call, batch, *every)  # type: ignore[no-untyped-call]
    dtype = format_beside(drive.weight) if isinstance(drive, WeightedSpikes) else drive.dtype
    out, after = out.to(dtype), tuple(x.view(batch, neurons) for x in last)
    held = None if of_last is None else of_last.to(dtype)
    return out, Memory(after[plan.own :], held), after[: plan.own]


def fed_back(
    feedback: Tensor | None, before: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    """Recurrent weights as kernels take them, and what spikes (B, N) before the first step add to it, (lanes,)."""
    if feedback is None:
        return None, None
    feedback = feedback.detach().to(dtype).contiguous()
    return feedback, None if before is None else (before.detach().float() @ feedback.float().t()).view(-1)


def trace(
    device: Device, s: StepSettings, p: tuple[Tensor | float, ...], current: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Spikes and every variable of the state after each step, (T, B, …) each, without gradients; see ``run``."""
    drive = SynapticInput(current)
    plan, fixed, learned = planned_call(device, s, p, drive, current.dtype, Memory(), state)
    whole, conductance = (x.detach().contiguous() for x in flat(drive, current.dtype))
    call, held = Call(whole, conductance, *fixed), learned[-1].detach()
    spikes, before, last = device.forward(plan, call, held, 1)
    after = torch.cat((before[1:], last[None])).view(len(current), len(held), *current.shape[1:])
    return spikes.view(current.shape), *after.unbind(1)


def step(
    device: Device, s: StepSettings, coefficients: tuple[Tensor | float, ...], current: Tensor,
    state: tuple[Tensor, ...],
) -> tuple[Tensor, ...]:  # fmt: skip
    """One step of neurons by the kernels of a device, for loops over single steps.

    Args:
        device: the kernels.
        s: settings, whose surrogate has a formula.
        coefficients: floats, or tensors that broadcast over one sample.
        current, state: (B, …) each.

    Returns:
        spikes and state, (B, …) each.
    """
    p, learned, learn = coefficients_of(coefficients, current.shape, current.device, False)
    plan, numbers = planned_step(s, current.dtype, p.shape[1] == 1, learn)
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in (current, *state, learned))
    run = _FusedStep.apply if keep else partial(_FusedStep.forward, None)
    results: tuple[Tensor, ...] = run(device, plan, numbers, p, learned, current, *state)
    return results


class _Now(NamedTuple):
    """What a call is, beside the tensors that gradients go to: of those torch asks each for its kind."""

    device: Device
    plan: Plan
    keep: bool


class _Fused(torch.autograd.Function):
    """Currents, coefficients and state → spikes in their shape and state (states, lanes) after the last step.

    Spikes of images, which are pooled or convolved, are kept as bits.
    """

    @staticmethod
    def forward(
        ctx: Any, now: _Now, call: Call, shape: torch.Size,
        current: Tensor, conductance: Tensor, bias: Tensor, coefficients: Tensor, decay: Tensor,
        state: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        ctx.now, (device, plan, keep) = now, now
        steps, batch, *features = shape
        is_image = len(features) > 1
        out, kept, state = device.forward(plan, call, state, KEEP_EVERY if keep else 0, batch=batch if is_image else 0)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(kept, *call)
        if not is_image:
            return out.view(shape), state
        fired = PackedSpikes(out, steps, plan.dtype, checked=True, of_neurons=True)
        return BinarySpikes(fired, tuple(shape)), state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor | None, grad_state: Tensor | None) -> Any:
        device, plan, _ = ctx.now
        kept, *tensors = ctx.saved_tensors
        call = Call(*tensors)
        if grad_spikes is None:
            grad_spikes = torch.zeros_like(call.current)
        grad_state = kept.new_zeros(kept.shape[1:]) if grad_state is None else grad_state.contiguous()
        if not device.TAKES_FACTORS or factors_of(grad_spikes, plan.dtype, SMALL_OUTPUT) is None:
            grad_spikes = dense(grad_spikes).to(plan.dtype).contiguous().flatten(1)
        g = device.backward(plan, call, kept, KEEP_EVERY, grad_spikes, grad_state)
        grad_bias = None if g.bias is None else g.bias.view(-1, call.bias.shape[0]).sum(0)
        grad_p, grad_decay = of_coefficients(plan, call, g)
        return None, None, None, g.current, g.conductance, grad_bias, grad_p, grad_decay, g.state


class _FusedSamples(torch.autograd.Function):
    """Currents or weights of few inputs, recurrent weights and what else neurons receive → spikes as bits, the state
    and, with feedback, the spikes (B, N) after the last step.

    ``before`` are spikes before the first step, (B, N), or None.
    """

    @staticmethod
    def forward(
        ctx: Any, now: _Now, call: SampleCall, batch: int, driving: Tensor, conductance: Tensor, bias: Tensor,
        coefficients: Tensor, decay: Tensor, state: Tensor, feedback: Tensor | None, before: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
        device, plan, keep = ctx.now = now
        words, currents, kept, last = device.SAMPLES.forward(plan, call, state, batch, keep)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(words, currents, kept, last, before, *call)
        steps = len(call.current)
        fired = PackedSpikes(words, steps, plan.dtype, checked=True, of_neurons=True)
        of_last = None if feedback is None else ((words[:, -1] >> (steps - 1) % WORD) & 1).to(plan.dtype)
        return BinarySpikes(fired, tuple(fired.shape)), last, of_last

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_spikes: Tensor | None, grad_state: Tensor | None, grad_of_last: Tensor | None
    ) -> Any:  # fmt: skip
        device, plan, _ = ctx.now
        words, currents, kept, last, before, *tensors = ctx.saved_tensors
        call = SampleCall(*tensors)
        if grad_spikes is None:
            grad_spikes = last.new_zeros(len(call.current), len(words), words.shape[2], dtype=plan.dtype)
        grad_state = torch.zeros_like(last) if grad_state is None else grad_state.contiguous()
        # In bfloat16 torch's product with many outputs has a unit of its own.
        most = None if plan.dtype == torch.float32 else SMALL_OUTPUT
        takes_factors = device.TAKES_FACTORS and grad_of_last is None
        if not takes_factors or factors_of(grad_spikes, plan.dtype, most) is None:
            grad_spikes = dense(grad_spikes).to(plan.dtype)
        if grad_of_last is not None:
            grad_spikes = torch.cat((grad_spikes[:-1], grad_spikes[-1:] + grad_of_last))
        g: SampleGradients = device.SAMPLES.backward(plan, call, words, currents, kept, grad_spikes, grad_state)
        of_feedback, of_before = of_recurrence(call, g, before)
        grad_bias = None if g.bias is None else g.bias.view(-1, call.bias.shape[0]).sum(0)
        grad_p, grad_decay = of_coefficients(plan, call, g)
        driving = g.current if call.weight is None else g.weight
        return (
            None, None, None, driving, g.conductance, grad_bias, grad_p, grad_decay, g.state, of_feedback, of_before
        )  # fmt: skip


class _FusedLayer(torch.autograd.Function):
    """Spikes, weights, what else neurons receive, and state → spikes as bits, the state after the last step.

    ``spikes`` are those of the call's events, where their gradient is wanted; else None.
    """

    @staticmethod
    def forward(
        ctx: Any, now: _Now, kernels: LayerKernels, call: LayerCall, spikes: Tensor | None, weight: Tensor,
        bias: Tensor, coefficients: Tensor, decay: Tensor, state: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        ctx.set_materialize_grads(False)
        _, plan, keep = now
        words, currents, kept, last = kernels.forward(plan, call, state, keep, spikes is not None)
        ctx.kernels, ctx.plan, ctx.events, ctx.has_currents = kernels, plan, call.events, True
        ctx.save_for_backward(currents, kept, state, *call[1:])
        fired = PackedSpikes(words, call.events.steps, plan.dtype, checked=True, of_neurons=True)
        return BinarySpikes(fired, tuple(fired.shape)), last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor | None, grad_state: Tensor | None) -> Any:
        plan = ctx.plan
        currents, kept, state, *tensors = ctx.saved_tensors
        call = LayerCall(ctx.events, *tensors)
        spikes_learn, wants_first = ctx.needs_input_grad[3], ctx.needs_input_grad[-1]
        if not ctx.has_currents:  # which an earlier backward pass of the same graph replaced by their gradient
            _, currents, kept, _ = ctx.kernels.forward(plan, call, state, True, spikes_learn)
        ctx.has_currents = ctx.has_currents and not spikes_learn
        if grad_spikes is None:
            grad_spikes = currents.new_zeros(call.events.steps, len(call.events.words), len(call.weight))
        if grad_state is not None:
            grad_state = grad_state.contiguous()
        if factors_of(grad_spikes, plan.dtype, SMALL_OUTPUT) is None:
            grad_spikes = dense(grad_spikes).to(plan.dtype)
        g = ctx.kernels.backward(plan, call, currents, kept, grad_spikes, grad_state, wants_first, spikes_learn)
        grad_p, grad_decay = of_coefficients(plan, call, g)
        of_spikes = None if g.current is None else gradient_of_spikes(g.current, call.weight)
        return None, None, None, of_spikes, g.weight, g.bias, grad_p, grad_decay, g.state


class _FusedStep(torch.autograd.Function):
    """Coefficients, current and states, (B, …) each → spikes and states after one step.

    States come and go as neighbours in memory, which a kernel takes as one tensor without a copy.
    """

    @staticmethod
    def forward(
        ctx: Any, device: Device, plan: Plan, constants: Tensor, coefficients: Tensor, learned: Tensor,
        current: Tensor, *state: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        current = current.contiguous()
        spikes, last = torch.empty_like(current), torch.empty((len(state), *current.shape), device=current.device)
        into = spikes.view(1, -1), last.view(len(state), -1)
        device.forward(plan, _one_step(current, coefficients, constants), _together(state), 0, into)
        if ctx is not None:
            ctx.device, ctx.plan = device, plan
            ctx.save_for_backward(current, coefficients, constants, *state)
        # As views of one tensor, states could not be detached in place.
        return spikes, *(last[k].data for k in range(len(state)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor, *grad_state: Tensor) -> Any:
        plan = ctx.plan
        current, coefficients, constants, *state = ctx.saved_tensors
        call, after = _one_step(current, coefficients, constants), _together(grad_state)
        grad_spikes = dense(grad_spikes).to(plan.dtype).contiguous().view(1, -1)
        g = ctx.device.backward(plan, call, _together(state)[None], 1, grad_spikes, after)
        grad_p, _ = of_coefficients(plan, call, g)
        return None, None, None, None, grad_p, g.current.view_as(current), *g.state.view(-1, *current.shape).unbind()


def _one_step(current: Tensor, coefficients: Tensor, constants: Tensor) -> Call:
    """The call of one step of a current alone, (B, …)."""
    where = current.device
    return Call(current.view(1, -1), *nothing(where), coefficients, constants, no_decay(where))


def _together(states: Sequence[Tensor]) -> Tensor:
    """States as one tensor, (states, lanes): their own memory, where each lies behind the one before, or a copy."""
    first, size = states[0], len(states)
    lanes, start, offset = first.numel(), first.data_ptr(), first.storage_offset()
    together = 4 * (offset + size * lanes) <= first.untyped_storage().nbytes()
    for k, x in enumerate(states):
        if not together or x.data_ptr() != start + 4 * k * lanes or x.dtype != torch.float32 or not x.is_contiguous():
            return torch.stack([x.reshape(-1) for x in states]).float()
    return first.as_strided((size, lanes), (lanes, 1), offset)


def of_coefficients(
    plan: Plan, call: Call | LayerCall | SampleCall, g: Gradients | LayerGradients | SampleGradients
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of the learned coefficients, (rows, 1) or (rows, N), and of the decay."""
    if g.coefficients is None:
        return None, None
    found = g.coefficients.view(len(g.coefficients), -1, call.coefficients.shape[1]).sum(1)
    if not plan.learns_decay:
        return found, None
    return found[:-1] if len(found) > 1 else None, found[-1].sum()


def of_recurrence(call: SampleCall, g: SampleGradients, before: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of the recurrent weights, and of the spikes (B, N) before the first step; None for none."""
    if call.feedback is None or before is None:
        return g.feedback, None
    of_first = g.of_first.view(before.shape)
    of_feedback = None if g.feedback is None else g.feedback + of_first.t() @ before.float()
    return of_feedback, of_first @ call.feedback.float()


def _is_learned_from(*every: Tensor | None) -> bool:
    """Whether any of these needs a gradient."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in every)
