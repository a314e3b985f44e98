"""A whole layer over time as one differentiable operation, computed by a kernel of some device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache, partial
from itertools import groupby
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor

from izhi.errors import ShapeError
from izhi.kernels import cpu
from izhi.kernels.cpu.rows import SMALL_OUTPUT
from izhi.kernels.events import WORD
from izhi.kernels.lazy import dense, materialize
from izhi.kernels.low_rank import factors_of
from izhi.kernels.ops import Surrogate
from izhi.kernels.packed import BinarySpikes, PackedSpikes
from izhi.kernels.plan import (
    KEEP_EVERY,
    Call,
    Constants,
    Gradients,
    LayerCall,
    LayerGradients,
    LayerKernels,
    Learned,
    Plan,
    SampleCall,
    SampleGradients,
    SampleKernels,
    StepForm,
    step_form,
)
from izhi.kernels.products import CountedSpikes, WeightedSpikes, format_beside, gradient_of_spikes, weight_gradient
from izhi.kernels.routes import NeuronChoice
from izhi.kernels.synaptic_input import Memory, StepSettings, SynapticInput
from izhi.kernels.tracing import once_differentiable


class Device(Protocol):
    """The kernels of a device: a module, such as ``izhi.kernels.cpu``."""

    COMPILER: str
    """What compiles them."""
    TAKES_FACTORS: bool
    """Whether ``backward``, in float32, takes gradients of spikes that are ``LowRankGradient``."""
    LOADS_DECAY: bool
    """Whether kernels load the decay of a synapse from the memory of the device; else it is one of the constants."""
    LAYER: LayerKernels
    """Kernels that take the product in front of the neurons too."""
    SAMPLES: SampleKernels | None
    """Kernels of whole samples, if there are any: of recurrent neurons, and of those with few inputs."""

    def forward(
        self, plan: Plan, call: Call, state: Tensor, keep_every: int,
        into: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Spikes (T, lanes), every k-th state (T/k, states, lanes), the state after the last step."""

    def backward(
        self, plan: Plan, call: Call, kept: Tensor, keep_every: int,
        grad_spikes: Tensor, grad_last: Tensor,
    ) -> Gradients:  # fmt: skip
        """Gradients of everything that went in; those of spikes (T, lanes), or factored."""

    def rate(self, values: Tensor, steps: int, seed: int, dtype: torch.dtype | None) -> Tensor:
        """Bernoulli spikes, see ``izhi.kernels.rate``."""


def kernels_on(device: str) -> Device:
    """The kernels of a kind of device."""
    if device == "cpu":
        return cast(Device, cpu)
    from izhi.kernels import cuda

    return cast(Device, cuda)


class _Now(NamedTuple):
    """What a call is, beside the tensors that gradients go to: of those torch asks each for its kind."""

    device: Device
    plan: Plan
    keep: bool
    is_continued: bool = False
    """Whether recurrent neurons may have fired before the first step."""


class _Fused(torch.autograd.Function):
    """Currents, coefficients and state → spikes in their shape and state (states, lanes) after the last step."""

    @staticmethod
    def forward(
        ctx: Any, now: _Now, call: Call, shape: torch.Size,
        current: Tensor, conductance: Tensor, bias: Tensor, coefficients: Tensor, decay: Tensor,
        state: Tensor, feedback: Tensor | None, spikes: Tensor | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        ctx.now, (device, plan, keep, *_) = now, now
        recurrent: tuple[Tensor, ...] = ()
        if feedback is None:
            out, kept, state = device.forward(plan, call, state, KEEP_EVERY if keep else 0)
        else:
            assert spikes is not None
            call, out, kept, state = _forward_with_feedback(now, call, state, feedback, spikes)
            recurrent = (feedback, spikes, out)
        ctx.save_for_backward(kept, *call, *recurrent)
        return out.view(shape), state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor, grad_state: Tensor) -> Any:
        device, plan, _, is_continued = ctx.now
        kept, *saved = ctx.saved_tensors
        call, recurrent = Call(*saved[: len(Call._fields)]), saved[len(Call._fields) :]
        if not device.TAKES_FACTORS or factors_of(grad_spikes, plan.dtype, SMALL_OUTPUT) is None:
            grad_spikes = dense(grad_spikes).to(plan.dtype).contiguous().flatten(1)
        grad_state = grad_state.contiguous()
        grad_feedback = grad_first = None
        if recurrent:
            feedback, first, outputs = recurrent
            g = _backward_step_by_step(device, plan, call, kept, grad_spikes, grad_state, feedback)
            width = len(feedback)
            across = g.current.view(len(outputs), -1, width)
            before, fired = first.view(-1, width), outputs.view_as(across)
            if ctx.needs_input_grad[-2]:
                grad_feedback = _gradient_of_feedback(across, before if is_continued else None, fired)
            if ctx.needs_input_grad[-1]:
                grad_first = (across[0] @ feedback).view_as(first)
        else:
            g = device.backward(plan, call, kept, KEEP_EVERY, grad_spikes, grad_state)
        grad_bias = None if g.bias is None else g.bias.view(-1, call.bias.shape[0]).sum(0)
        grad_p, grad_decay = of_coefficients(plan, call, g, ctx.needs_input_grad[7])
        return (
            None, None, None, g.current, g.conductance, grad_bias, grad_p, grad_decay,
            g.state, grad_feedback, grad_first,
        )  # fmt: skip


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
        device, plan, keep, _ = ctx.now = now
        assert device.SAMPLES is not None
        words, kept, last = device.SAMPLES.forward(plan, call, state, batch, keep)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(words, kept, last, before, *call)
        steps = len(call.current)
        fired = PackedSpikes(words, steps, plan.dtype, checked=True, of_neurons=True)
        of_last = None if feedback is None else ((words[:, -1] >> (steps - 1) % WORD) & 1).to(plan.dtype)
        return BinarySpikes(fired, tuple(fired.shape)), last, of_last

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_spikes: Tensor | None, grad_state: Tensor | None, grad_of_last: Tensor | None
    ) -> Any:  # fmt: skip
        device, plan, *_ = ctx.now
        words, kept, last, before, *tensors = ctx.saved_tensors
        call = SampleCall(*tensors)
        if grad_spikes is None:
            grad_spikes = last.new_zeros(len(call.current), len(words), words.shape[2], dtype=plan.dtype)
        grad_state = torch.zeros_like(last) if grad_state is None else grad_state.contiguous()
        # In bfloat16 torch's product with many outputs has a unit of its own.
        most = None if plan.dtype == torch.float32 else SMALL_OUTPUT
        if grad_of_last is not None or factors_of(grad_spikes, plan.dtype, most) is None:
            grad_spikes = dense(grad_spikes).to(plan.dtype)
        if grad_of_last is not None:
            grad_spikes = torch.cat((grad_spikes[:-1], grad_spikes[-1:] + grad_of_last))
        g: SampleGradients = device.SAMPLES.backward(plan, call, words, kept, grad_spikes, grad_state)
        of_feedback, of_before = g.feedback, None
        if call.feedback is not None and before is not None:
            of_first = g.of_first.view(len(words), -1)
            of_before = of_first @ call.feedback.float()
            if of_feedback is not None:
                of_feedback = of_feedback + of_first.t() @ before.float()
        grad_bias = None if g.bias is None else g.bias.view(-1, call.bias.shape[0]).sum(0)
        grad_p, grad_decay = of_coefficients(plan, call, g, ctx.needs_input_grad[7])
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
        _, plan, keep, *_ = now
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
        grad_p, grad_decay = of_coefficients(plan, call, g, ctx.needs_input_grad[7])
        of_spikes = None if g.current is None else gradient_of_spikes(g.current, call.weight)
        return None, None, None, of_spikes, g.weight, g.bias, grad_p, grad_decay, g.state


def of_coefficients(
    plan: Plan,
    call: Call | LayerCall | SampleCall,
    g: Gradients | LayerGradients | SampleGradients,
    learns_decay: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of the learned coefficients, (rows, 1) or (rows, N), and of the decay."""
    if g.coefficients is None:
        return None, None
    found = g.coefficients.view(len(g.coefficients), -1, call.coefficients.shape[1]).sum(1)
    if plan.learn == "gain":
        return found, None
    return found[:-1], found[-1].sum() if learns_decay else None


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
        grad_p, _ = of_coefficients(plan, call, g, False)
        return None, None, None, None, grad_p, g.current.view_as(current), *g.state.view(-1, *current.shape).unbind()


def _one_step(current: Tensor, coefficients: Tensor, constants: Tensor) -> Call:
    """The call of one step of a current alone, (B, …)."""
    where = current.device
    return Call(current.view(1, -1), *nothing(where), coefficients, constants, _no_decay(where))


def _together(states: Sequence[Tensor]) -> Tensor:
    """States as one tensor, (states, lanes): their own memory, where each lies behind the one before, or a copy."""
    first, size = states[0], len(states)
    lanes, start, offset = first.numel(), first.data_ptr(), first.storage_offset()
    together = 4 * (offset + size * lanes) <= first.untyped_storage().nbytes()
    for k, x in enumerate(states):
        if not together or x.data_ptr() != start + 4 * k * lanes or x.dtype != torch.float32 or not x.is_contiguous():
            return torch.stack([x.reshape(-1) for x in states]).float()
    return first.as_strided((size, lanes), (lanes, 1), offset)


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
    p, learned, learn = _coefficients(s, coefficients, current.shape, current.device, False)
    plan, numbers = _planned_step(s, current.dtype, p.shape[1] == 1, learn)
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in (current, *state, learned))
    run = _FusedStep.apply if keep else partial(_FusedStep.forward, None)
    results: tuple[Tensor, ...] = run(device, plan, numbers, p, learned, current, *state)
    return results


@cache
@torch.inference_mode(mode=False)
def nothing(where: torch.device) -> tuple[Tensor, Tensor]:
    """The conductance and bias of neurons that have none."""
    return torch.empty(1, 0, device=where), torch.empty(0, device=where)


@cache
@torch.inference_mode(mode=False)
def _no_decay(where: torch.device) -> Tensor:
    """The decay where there is no synapse."""
    return torch.zeros((), device=where)


_NUMBERS = frozenset((float, int))


@lru_cache(maxsize=256)
@torch.inference_mode(mode=False)
def _shared(coefficients: tuple[Tensor | float, ...], width: int, where: torch.device) -> Tensor:
    """Coefficients that are numbers, (rows, width)."""
    rows = torch.tensor(coefficients, dtype=torch.float32, device=where)[:, None]
    return rows.expand(-1, width)


def _coefficients(
    s: StepSettings, coefficients: tuple[Tensor | float, ...], one: torch.Size, where: torch.device, learns_decay: bool
) -> tuple[Tensor, Tensor, Learned]:
    """Coefficients as (rows, 1) or (rows, N), without gradients; what these go to, and which of them are computed.

    Numbers are in the device's memory since an earlier call, and join the learned ones there.
    """
    if _NUMBERS.issuperset(map(type, coefficients)):
        p = _shared(tuple(coefficients), 1, where)
        return p, p, "all" if learns_decay else "none"
    names = step_form(s.equation, quantized=s.formats is not None).coefficients
    learned = [n for n, x in zip(names, coefficients, strict=True) if isinstance(x, Tensor) and x.requires_grad]
    learn: Learned = "all" if learns_decay else "none" if not learned else "gain" if learned == [names[-1]] else "all"
    width = math.prod(one[1:]) if any(isinstance(x, Tensor) and x.numel() > 1 for x in coefficients) else 1
    rows: list[Tensor] = []
    for are_tensors, of in groupby(coefficients, lambda x: isinstance(x, Tensor)):
        if not are_tensors:
            rows.append(_shared(tuple(of), width, where))
            continue
        tensors = [cast(Tensor, x).to(where, torch.float32) for x in of]
        rows += [(x.expand(one[1:]) if width > 1 else x).reshape(1, -1) for x in tensors]
    if learn == "gain":
        return torch.cat([x.detach() for x in rows]), rows[-1], learn
    p = torch.cat(rows)
    return p.detach(), p, learn


@lru_cache(maxsize=256)
@torch.inference_mode(mode=False)
def planned(
    form: StepForm, surrogate: type[Surrogate], constants: Constants, dtype: torch.dtype, shared: bool, learn: Learned
) -> tuple[Plan, Tensor]:
    """The plan of a call, and its constants as kernels take them."""
    return Plan(form, surrogate, dtype, shared, learn), torch.tensor(constants, dtype=torch.float32)


@lru_cache(maxsize=256)
def _planned_step(s: StepSettings, dtype: torch.dtype, shared: bool, learn: Learned) -> tuple[Plan, Tensor]:
    """The plan, and the constants, of single steps under a current alone."""
    return planned(step_form(s.equation), type(cast(Surrogate, s.surrogate)), s.of_kernels, dtype, shared, learn)


def _forward_with_feedback(
    now: _Now, call: Call, state: Tensor, feedback: Tensor, spikes: Tensor
) -> tuple[Call, Tensor, Tensor, Tensor]:
    """Each step's spikes add to the next step's current; the call with that sum."""
    device, plan, keep, _ = now
    width, steps = feedback.shape[0], len(call.current)
    arriving, outputs = torch.empty_like(call.current), torch.empty_like(call.current)
    states = state.new_empty(steps + 1 if keep else 2, *state.shape)
    states[0] = state
    for t in range(steps):
        before, after = (t, t + 1) if keep else (t % 2, 1 - t % 2)
        current, out = call.current[t].view(-1, width), arriving[t].view(-1, width)
        torch.addmm(current, spikes.view(-1, width), feedback.t(), out=out)
        into = outputs[t : t + 1], states[after]
        device.forward(plan, _step(call._replace(current=arriving), t), states[before], 0, into)
        spikes = outputs[t]
    last = states[steps if keep else steps % 2].clone()
    return call._replace(current=arriving), outputs, states[:steps], last


def _step(call: Call, t: int) -> Call:
    return call._replace(current=call.current[t : t + 1], conductance=call.conductance[t : t + 1])


def _gradient_of_feedback(across: Tensor, before: Tensor | None, fired: Tensor) -> Tensor:
    """(N, N), of gradients of currents (T, B, N), spikes before the first step (B, N) and those of all (T, B, N).

    ``before`` is None for no spikes.
    """
    found = weight_gradient(fired[:-1], across[1:]) if len(fired) > 1 else across.new_zeros(across.shape[2:] * 2)
    return found if before is None else found + across[0].t() @ before


def _backward_step_by_step(
    device: Device, plan: Plan, call: Call, kept: Tensor, grad_spikes: Tensor, grad_state: Tensor, feedback: Tensor
) -> Gradients:
    """The loop back through time finds what each step's spikes receive from the next step.

    Where coefficients are learned, one more pass over all steps with that, as if nothing were fed back,
    gives every gradient, for less than their sums over single steps would cost.
    """
    width, steps = feedback.shape[0], len(grad_spikes)
    lean = replace(plan, learn="none")
    arriving, after = grad_spikes.clone(), grad_state
    found: list[Gradients] = []
    for t in reversed(range(0 if plan.learn == "none" else 1, steps)):
        g = device.backward(lean, _step(call, t), kept[t : t + 1], 1, arriving[t : t + 1], after)
        found.append(g)
        after = g.state
        if t:
            before = arriving[t - 1].view(-1, width)
            torch.addmm(before, g.current.view(-1, width), feedback, out=before)
    if plan.learn != "none":
        return device.backward(plan, call, kept, 1, arriving, grad_state)
    return _joined(found[::-1])


def _joined(steps: list[Gradients]) -> Gradients:
    """Gradients of a sequence from those of its steps, in their order."""
    currents, conductances, states, biases, _ = zip(*steps, strict=True)
    return Gradients(
        torch.cat(currents),
        None if conductances[0] is None else torch.cat(conductances),
        states[0],
        None if biases[0] is None else torch.stack(biases).sum(0),
        None,
    )


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
    plan, fixed, learned = _planned_call(device, s, p, drive, counted.call.dtype, memory, state)
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
    plan, fixed, learned = _planned_call(device, s, p, drive, choice.dtype, memory, state)
    current, conductance = _flat(drive, choice.dtype)
    call = Call(current.detach().contiguous(), conductance.detach().contiguous(), *fixed)
    feedback, spikes = _recurrent(drive, memory, current)
    every = (current, conductance, *learned, feedback, spikes)
    now = _Now(device, plan, _is_learned_from(*every), memory.spikes is not None)
    out, last = _Fused.apply(now, call, shape, *every)  # type: ignore[no-untyped-call]
    out = out.to(dtype)
    after = tuple(x.view(shape[1:]) for x in last)
    memory = Memory(after[plan.own :], None if feedback is None else out[-1])
    return out, memory, after[: plan.own]


def run_samples(
    device: Device, s: StepSettings, p: tuple[Tensor | float, ...], drive: SynapticInput | WeightedSpikes,
    memory: Memory, state: tuple[Tensor, ...], choice: NeuronChoice,
) -> tuple[Tensor, Memory, tuple[Tensor, ...]]:  # fmt: skip
    """Run neurons by kernels of whole samples, under currents or few inputs and their weights; see ``run_layer``."""
    (_, batch, neurons), dtype = drive.shape, choice.dtype
    plan, fixed, learned = _planned_call(device, s, p, drive, dtype, memory, state)
    if isinstance(drive, WeightedSpikes):
        assert isinstance(drive.spikes, Tensor)
        current, weight = drive.spikes.detach().float(), drive.weight.detach().float()
        driving, conductance = drive.weight, nothing(drive.device)[0]
    else:
        driving, conductance = _flat(drive, dtype)
        current, weight = driving.detach(), None
    feedback, before = drive.feedback, memory.spikes
    rounded = None if feedback is None else feedback.detach().to(dtype)
    of_first = None
    if rounded is not None and before is not None:
        of_first = before.detach().float() @ rounded.float().t()
    call = SampleCall(
        current.contiguous(), weight, conductance.detach().contiguous(), *fixed,
        None if rounded is None else rounded.contiguous(), of_first,
    )  # fmt: skip
    every = (driving, conductance, *learned, feedback, before)
    now = _Now(device, plan, _is_learned_from(*every))
    out, last, of_last = _FusedSamples.apply(now, call, batch, *every)  # type: ignore[no-untyped-call]
    dtype = format_beside(drive.weight) if isinstance(drive, WeightedSpikes) else drive.dtype
    out, after = out.to(dtype), tuple(x.view(batch, neurons) for x in last)
    held = None if of_last is None else of_last.to(dtype)
    return out, Memory(after[plan.own :], held), after[: plan.own]


def _is_learned_from(*every: Tensor | None) -> bool:
    """Whether any of these needs a gradient."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in every)


def trace(
    device: Device, s: StepSettings, p: tuple[Tensor | float, ...], current: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Spikes and every variable of the state after each step, (T, B, …) each, without gradients; see ``run``."""
    drive = SynapticInput(current)
    plan, fixed, learned = _planned_call(device, s, p, drive, current.dtype, Memory(), state)
    flat, nothing = (x.detach().contiguous() for x in _flat(drive, current.dtype))
    call, held = Call(flat, nothing, *fixed), learned[-1].detach()
    spikes, before, last = device.forward(plan, call, held, 1)
    after = torch.cat((before[1:], last[None])).view(len(current), len(held), *current.shape[1:])
    return spikes.view(current.shape), *after.unbind(1)


def _planned_call(
    device: Device, s: StepSettings, coefficients: tuple[Tensor | float, ...], drive: SynapticInput | WeightedSpikes,
    dtype: torch.dtype, memory: Memory, state: tuple[Tensor, ...],
) -> tuple[Plan, tuple[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, ...]]:  # fmt: skip
    """The plan; bias, coefficients, constants and decay; what gradients go to: bias, coefficients, decay, state."""
    one, where = drive.shape[1:], drive.device
    form = step_form(
        s.equation, drive.conductance is not None, drive.synapse is not None, drive.bias is not None,
        s.formats is not None,
    )  # fmt: skip
    bias = nothing(where)[1] if drive.bias is None else drive.bias.float().expand(one[1:]).reshape(-1)
    decay, constants = _no_decay(where), s.of_kernels
    traces: tuple[Tensor, ...] = ()
    if drive.synapse is not None:
        decay, implicit, grid = drive.synapse
        constants = constants.traced(grid)._replace(implicit=implicit)
        if not device.LOADS_DECAY:  # which would wait for a GPU
            constants = constants._replace(decay=float(decay.detach()))
        traces = memory.synapse or (torch.zeros(one, device=where),) * (1 + (drive.conductance is not None))
    p, learned, learn = _coefficients(s, coefficients, one, where, decay.requires_grad)
    plan, numbers = planned(form, type(cast(Surrogate, s.surrogate)), constants, dtype, p.shape[1] == 1, learn)
    every = (*state, *traces)
    held = torch.stack([x.float() for x in every]).view(len(every), -1)
    fixed = bias.detach().contiguous(), p, numbers, decay.detach().to(where, torch.float32)
    return plan, fixed, (bias, learned, decay, held)


def _flat(drive: SynapticInput, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Current and conductance, (T, lanes) in one format; conductance has no elements if there is none."""
    steps, g = drive.current.shape[0], drive.conductance
    current = materialize(drive.current).to(dtype).reshape(steps, -1)
    if g is None:
        return current, current.new_empty(steps, 0)
    if g.shape != drive.current.shape:
        raise ShapeError(
            f"conductance has shape {tuple(g.shape)}, expected {tuple(drive.current.shape)}, the current's"
        )
    return current, materialize(g).to(dtype).reshape(steps, -1)


def _recurrent(drive: SynapticInput, memory: Memory, current: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Feedback, and the spikes (lanes,) of the step before, in the format of the current."""
    feedback, spikes = drive.feedback, memory.spikes
    if feedback is None:
        return None, spikes
    if spikes is None:
        return feedback.to(current.dtype), current.new_zeros(current.shape[1])
    return feedback.to(current.dtype), spikes.to(current.dtype).reshape(-1)
