"""Neurons over time as operators of torch, which torch.compile puts into its graph as they are.

They run the kernels that a call outside of torch.compile runs, with the same numbers; the compiler knows their shapes
and formats alone. Outside of it an operator would cost tens of microseconds more than the call.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from izhi.kernels.arguments import nothing, planned
from izhi.kernels.cpu import samples
from izhi.kernels.device import kernels_on
from izhi.kernels.fused import fed_back, of_coefficients, of_recurrence
from izhi.kernels.ops import Surrogate
from izhi.kernels.packed import PackedSpikes
from izhi.kernels.plan import (
    KEEP_EVERY,
    Call,
    Gradients,
    Grid,
    Plan,
    SampleCall,
    SampleGradients,
    step_form,
)
from izhi.kernels.routes import FORMATS, format_of_recurrence, has_triton
from izhi.kernels.synaptic_input import Memory, StepSettings, SynapticInput, settings_of


def covers(drive: SynapticInput, state: tuple[Tensor, ...], s: StepSettings) -> bool:
    """Whether the operators run a call that torch.compile records."""
    device = drive.device.type
    known = device == "cpu" or (device == "cuda" and has_triton())
    formats = FORMATS["cuda"] if device == "cuda" else FORMATS["cpu"]
    same = drive.conductance is None or (drive.conductance.dtype, drive.conductance.shape) == (drive.dtype, drive.shape)
    fits = drive.feedback is None or (
        drive.feedback.dim() == 2 and (device == "cuda" or drive.shape[2] <= samples.MOST_LANES)
    )
    return (
        known and same and fits and s.key is not None and drive.dtype in formats
        and all(x.dtype == torch.float32 for x in state)
    )  # fmt: skip


def run(
    drive: SynapticInput, memory: Memory, state: tuple[Tensor, ...], p: tuple[Tensor | float, ...], s: StepSettings
) -> tuple[Tensor, Memory, tuple[Tensor, ...]]:
    """Run neurons over drive (T, B, …) by an operator; see ``izhi.kernels.dispatch.run``."""
    shape, where, one = drive.shape, drive.device, drive.shape[1:]
    g, bias, synapse, feedback = drive.conductance, drive.bias, drive.synapse, drive.feedback
    coefficients = _rows(p, one, where)
    decay, implicit, grid = (torch.zeros((), device=where), 0.0, None) if synapse is None else synapse
    learn = [k for k, x in enumerate((*p, decay)) if isinstance(x, Tensor) and x.requires_grad]
    traces = memory.synapse
    if synapse is not None and not traces:
        traces = (torch.zeros(one, device=where),) * (1 + (g is not None))
    first = torch.stack([x.float().reshape(-1) for x in (*state, *traces)])
    assert s.key is not None
    bias = None if bias is None else bias.float().expand(one[1:]).reshape(-1)
    numbers = [] if grid is None else list(grid)
    spikes, last, *_ = neurons(
        drive.current.reshape(shape[0], -1), None if g is None else g.reshape(shape[0], -1), bias, coefficients,
        decay.to(where, torch.float32), first, feedback, None if feedback is None else memory.spikes, s.key, learn,
        implicit, synapse is not None, numbers, torch.is_grad_enabled(),
    )  # fmt: skip
    spikes, after, own = spikes.view(shape), tuple(x.view(one) for x in last), len(state)
    return spikes, Memory(after[own:], None if feedback is None else spikes[-1]), after[:own]


def _rows(p: tuple[Tensor | float, ...], one: torch.Size, where: torch.device) -> Tensor:
    """Coefficients as (rows, 1) or (rows, N)."""
    rows = [x.float() if isinstance(x, Tensor) else torch.full((), x, device=where) for x in p]
    if any(x.numel() > 1 for x in rows):
        rows = [x.expand(one[1:]) for x in rows]
    return torch.stack([x.reshape(-1) for x in rows])


class _Planned(NamedTuple):
    """What the kernels of an operator take."""

    device: Any
    plan: Plan
    call: Call | SampleCall


def _planned(
    current: Tensor, conductance: Tensor | None, bias: Tensor | None, coefficients: Tensor, decay: Tensor,
    feedback: Tensor | None, before: Tensor | None, key: int, learn: list[int], implicit: float, filtered: bool,
    grid: list[float],
) -> _Planned:  # fmt: skip
    """The call of an operator, on tensors with numbers."""
    s, where, dtype = settings_of(key), current.device, current.dtype
    if feedback is not None:
        dtype = format_of_recurrence(dtype, where.type, len(feedback))
    device = kernels_on(where.type)
    form = step_form(s.equation, conductance is not None, filtered, bias is not None, s.formats is not None)
    constants = s.of_kernels
    if filtered:
        constants = constants.traced(Grid(*grid) if grid else None)._replace(implicit=implicit)
        if not device.LOADS_DECAY:
            constants = constants._replace(decay=float(decay))
    surrogate = type(cast(Surrogate, s.surrogate))
    shared = coefficients.shape[1] == 1
    plan, numbers = planned(form, surrogate, constants, dtype, shared, tuple(learn))
    no_conductance, no_bias = nothing(where)
    current = current.to(dtype).contiguous()
    y = current.new_empty(len(current), 0) if conductance is None else conductance.to(dtype).contiguous()
    others = no_bias if bias is None else bias.contiguous(), coefficients.contiguous(), numbers, decay
    if feedback is None:
        return _Planned(device, plan, Call(current, y, *others))
    return _Planned(device, plan, SampleCall(current, None, y, *others, *fed_back(feedback, before, dtype)))


@torch.library.custom_op("izhi::neurons", mutates_args=())
def neurons(
    current: Tensor, conductance: Tensor | None, bias: Tensor | None, coefficients: Tensor, decay: Tensor,
    state: Tensor, feedback: Tensor | None, before: Tensor | None, key: int, learn: list[int], implicit: float,
    filtered: bool, grid: list[float], keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Currents (T, lanes), state (states, lanes) → spikes, the state after the last step, kept states, and currents
    with what was fed back, where the backward pass takes those.

    Args:
        current, conductance, bias, coefficients, decay, state: see ``Call``.
        feedback: R, (N, N), or none.
        before: spikes before the first step, (B, N), or none.
        key: of the settings, see ``StepSettings``.
        learn: see ``Plan``.
        implicit, filtered, grid: of the synapse, if there is one; the numbers of ``Grid`` or none.
        keep: whether states are kept for the backward pass.
    """
    device, plan, call = _planned(
        current, conductance, bias, coefficients, decay, feedback, before, key, learn, implicit, filtered, grid
    )  # fmt: skip
    state = state.contiguous()
    if isinstance(call, Call):
        spikes, kept, last = device.forward(plan, call, state, KEEP_EVERY if keep else 0)
        return spikes, last, kept, state.new_empty(0)
    assert feedback is not None
    batch = current.shape[1] // len(feedback)
    words, currents, kept, last = device.SAMPLES.forward(plan, call, state, batch, keep)
    spikes = PackedSpikes(words, len(current), current.dtype, checked=True).dense()
    return spikes.view(current.shape), last, kept, currents


@neurons.register_fake
def _(
    current: Tensor, conductance: Tensor | None, bias: Tensor | None, coefficients: Tensor, decay: Tensor,
    state: Tensor, feedback: Tensor | None, before: Tensor | None, key: int, learn: list[int], implicit: float,
    filtered: bool, grid: list[float], keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    is_on_cpu = current.device.type == "cpu"
    every = samples.KEEP_EVERY if feedback is not None and is_on_cpu else KEEP_EVERY
    kept = state.new_empty((current.shape[0] + every - 1) // every if keep else 0, *state.shape)
    has_currents = keep and feedback is not None and not is_on_cpu
    currents = current.new_empty(current.shape) if has_currents else state.new_empty(0)
    return current.new_empty(current.shape), state.new_empty(state.shape), kept, currents


@torch.library.custom_op("izhi::neurons_backward", mutates_args=())
def neurons_backward(
    grad_spikes: Tensor, grad_last: Tensor, spikes: Tensor, kept: Tensor, arriving: Tensor, current: Tensor,
    conductance: Tensor | None, bias: Tensor | None, coefficients: Tensor, decay: Tensor, feedback: Tensor | None,
    before: Tensor | None, key: int, learn: list[int], implicit: float, filtered: bool, grid: list[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of what is before the key in ``neurons``, in its order; without numbers where there are none."""
    device, plan, call = _planned(
        current, conductance, bias, coefficients, decay, feedback, before, key, learn, implicit, filtered, grid
    )  # fmt: skip
    grad_spikes, grad_last = grad_spikes.to(plan.dtype).contiguous(), grad_last.contiguous()
    of_feedback = of_before = None
    g: Gradients | SampleGradients
    if isinstance(call, Call):
        g = device.backward(plan, call, kept, KEEP_EVERY, grad_spikes, grad_last)
    else:
        assert feedback is not None
        shape = (len(current), -1, len(feedback))
        words = PackedSpikes.pack(spikes.view(shape)).words
        g = of_samples = device.SAMPLES.backward(
            plan, call, words, arriving, kept, grad_spikes.view(shape), grad_last
        )  # fmt: skip
        of_feedback, of_before = of_recurrence(call, of_samples, before)
    of_bias = None if bias is None or g.bias is None else g.bias.view(-1, len(bias)).sum(0)
    of_p, of_decay = of_coefficients(plan, call, g)
    every = torch.zeros_like(coefficients)
    if of_p is not None:
        every[learn[: len(of_p)]] = of_p
    of_decay = torch.zeros_like(decay) if of_decay is None else of_decay
    found = (g.current, g.conductance, of_bias, every, of_decay, g.state, of_feedback, of_before)
    inputs = (current, conductance, bias, coefficients, decay, grad_last, feedback, before)
    return tuple(  # type: ignore[return-value]
        grad_last.new_empty(0) if x is None or of_x is None else of_x.to(x.dtype).view(x.shape)
        for x, of_x in zip(inputs, found, strict=True)
    )


@neurons_backward.register_fake
def _(
    grad_spikes: Tensor, grad_last: Tensor, spikes: Tensor, kept: Tensor, arriving: Tensor, current: Tensor,
    conductance: Tensor | None, bias: Tensor | None, coefficients: Tensor, decay: Tensor, feedback: Tensor | None,
    before: Tensor | None, key: int, learn: list[int], implicit: float, filtered: bool, grid: list[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    inputs = (current, conductance, bias, coefficients, decay, grad_last, feedback, before)
    return tuple(  # type: ignore[return-value]
        grad_last.new_empty(0) if x is None else x.new_empty(x.shape) for x in inputs
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    current, conductance, bias, coefficients, decay, _, feedback, before, *fixed, _ = inputs
    spikes, _, kept, arriving = output
    ctx.save_for_backward(
        spikes, kept, arriving, current, conductance, bias, coefficients, decay, feedback, before
    )  # fmt: skip
    ctx.fixed = fixed


def _backward(ctx: Any, grad_spikes: Tensor, grad_last: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    spikes, kept, arriving, *inputs = ctx.saved_tensors
    found = neurons_backward(grad_spikes, grad_last, spikes, kept, arriving, *inputs, *ctx.fixed)
    given = (*inputs[:5], grad_last, *inputs[5:])
    grads = (None if x is None else of_x for x, of_x in zip(given, found, strict=True))
    return (*grads, *(None for _ in range(len(ctx.fixed) + 1)))


neurons.register_autograd(_backward, setup_context=_save)
