"""Neurons over time as operators of torch, which torch.compile puts into its graph as they are.

They run the kernels that a call outside of torch.compile runs, with the same numbers; the compiler knows their shapes
and formats alone. Outside of it an operator would cost tens of microseconds more than the call.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from izhi.kernels.arguments import nothing, planned
from izhi.kernels.device import kernels_on
from izhi.kernels.fused import of_coefficients
from izhi.kernels.ops import Surrogate
from izhi.kernels.plan import KEEP_EVERY, Call, Grid, Learned, Plan, step_form
from izhi.kernels.routes import FORMATS, has_triton
from izhi.kernels.synaptic_input import Memory, StepSettings, SynapticInput, settings_of


def covers(drive: SynapticInput, state: tuple[Tensor, ...], s: StepSettings) -> bool:
    """Whether the operators run a call that torch.compile records."""
    device = drive.device.type
    known = device == "cpu" or (device == "cuda" and has_triton())
    formats = FORMATS["cuda"] if device == "cuda" else FORMATS["cpu"]
    same = drive.conductance is None or (drive.conductance.dtype, drive.conductance.shape) == (drive.dtype, drive.shape)
    return (
        known and same and s.key is not None and drive.feedback is None and drive.dtype in formats
        and all(x.dtype == torch.float32 for x in state)
    )  # fmt: skip


def run(
    drive: SynapticInput, memory: Memory, state: tuple[Tensor, ...], p: tuple[Tensor | float, ...], s: StepSettings
) -> tuple[Tensor, Memory, tuple[Tensor, ...]]:
    """Run neurons over drive (T, B, …) by an operator; see ``izhi.kernels.dispatch.run``."""
    shape, where, one = drive.shape, drive.device, drive.shape[1:]
    g, bias, synapse = drive.conductance, drive.bias, drive.synapse
    coefficients = _rows(p, one, where)
    learned = [isinstance(x, Tensor) and x.requires_grad for x in p]
    learn = "none" if not any(learned) else "gain" if not any(learned[:-1]) else "all"
    decay, implicit, grid = (torch.zeros((), device=where), 0.0, None) if synapse is None else synapse
    learn = "all" if decay.requires_grad else learn
    traces = memory.synapse
    if synapse is not None and not traces:
        traces = (torch.zeros(one, device=where),) * (1 + (g is not None))
    first = torch.stack([x.float().reshape(-1) for x in (*state, *traces)])
    assert s.key is not None
    bias = None if bias is None else bias.float().expand(one[1:]).reshape(-1)
    numbers = [] if grid is None else list(grid)
    spikes, _, last = neurons(
        drive.current.reshape(shape[0], -1), None if g is None else g.reshape(shape[0], -1), bias, coefficients,
        decay.to(where, torch.float32), first, s.key, learn, implicit, synapse is not None, numbers,
        torch.is_grad_enabled(),
    )  # fmt: skip
    after = tuple(x.view(one) for x in last)
    own = len(state)
    return spikes.view(shape), Memory(after[own:]), after[:own]


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
    call: Call


def _planned(
    current: Tensor, conductance: Tensor | None, bias: Tensor | None, coefficients: Tensor, decay: Tensor, key: int,
    learn: str, implicit: float, filtered: bool, grid: list[float],
) -> _Planned:  # fmt: skip
    """The call of an operator, on tensors with numbers."""
    s, where = settings_of(key), current.device
    device = kernels_on(where.type)
    form = step_form(s.equation, conductance is not None, filtered, bias is not None, s.formats is not None)
    constants = s.of_kernels
    if filtered:
        constants = constants.traced(Grid(*grid) if grid else None)._replace(implicit=implicit)
        if not device.LOADS_DECAY:
            constants = constants._replace(decay=float(decay))
    surrogate = type(cast(Surrogate, s.surrogate))
    shared = coefficients.shape[1] == 1
    plan, numbers = planned(form, surrogate, constants, current.dtype, shared, cast(Learned, learn))
    no_conductance, no_bias = nothing(where)
    call = Call(
        current.contiguous(), current.new_empty(len(current), 0) if conductance is None else conductance.contiguous(),
        no_bias if bias is None else bias.contiguous(), coefficients.contiguous(), numbers, decay,
    )  # fmt: skip
    return _Planned(device, plan, call)


@torch.library.custom_op("izhi::neurons", mutates_args=())
def neurons(
    current: Tensor, conductance: Tensor | None, bias: Tensor | None, coefficients: Tensor, decay: Tensor,
    state: Tensor, key: int, learn: str, implicit: float, filtered: bool, grid: list[float], keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Currents (T, lanes), state (states, lanes) → spikes, kept states, the state after the last step.

    Args:
        current, conductance, bias, coefficients, decay, state: see ``Call``.
        key: of the settings, see ``StepSettings``.
        learn: see ``Plan``.
        implicit, filtered, grid: of the synapse, if there is one; the numbers of ``Grid`` or none.
        keep: whether states are kept for the backward pass.
    """
    device, plan, call = _planned(
        current, conductance, bias, coefficients, decay, key, learn, implicit, filtered, grid
    )  # fmt: skip
    found: tuple[Tensor, Tensor, Tensor] = device.forward(plan, call, state.contiguous(), KEEP_EVERY if keep else 0)
    return found


@neurons.register_fake
def _(
    current: Tensor, conductance: Tensor | None, bias: Tensor | None, coefficients: Tensor, decay: Tensor,
    state: Tensor, key: int, learn: str, implicit: float, filtered: bool, grid: list[float], keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    parts = (current.shape[0] + KEEP_EVERY - 1) // KEEP_EVERY if keep else 0
    return current.new_empty(current.shape), state.new_empty(parts, *state.shape), state.new_empty(state.shape)


@torch.library.custom_op("izhi::neurons_backward", mutates_args=())
def neurons_backward(
    grad_spikes: Tensor, grad_last: Tensor, kept: Tensor, current: Tensor, conductance: Tensor | None,
    bias: Tensor | None, coefficients: Tensor, decay: Tensor, key: int, learn: str, implicit: float, filtered: bool,
    grid: list[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of current, conductance, bias, coefficients, decay and state; without numbers where there are none."""
    device, plan, call = _planned(
        current, conductance, bias, coefficients, decay, key, learn, implicit, filtered, grid
    )  # fmt: skip
    grad_spikes = grad_spikes.to(current.dtype).contiguous()
    g = device.backward(plan, call, kept, KEEP_EVERY, grad_spikes, grad_last.contiguous())
    of_bias = grad_last.new_zeros(0) if bias is None else g.bias.view(-1, len(bias)).sum(0)
    of_p, of_decay = of_coefficients(plan, call, g, True)
    every = torch.zeros_like(coefficients)
    if of_p is not None:
        every[-len(of_p) :] = of_p
    of_decay = torch.zeros_like(decay) if of_decay is None else of_decay
    of_conductance = current.new_empty(0) if g.conductance is None else g.conductance
    return g.current, of_conductance, of_bias, every, of_decay, g.state


@neurons_backward.register_fake
def _(
    grad_spikes: Tensor, grad_last: Tensor, kept: Tensor, current: Tensor, conductance: Tensor | None,
    bias: Tensor | None, coefficients: Tensor, decay: Tensor, key: int, learn: str, implicit: float, filtered: bool,
    grid: list[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    nothing = current.new_empty(0)
    return (
        current.new_empty(current.shape), nothing if conductance is None else current.new_empty(conductance.shape),
        grad_last.new_empty(0) if bias is None else bias.new_empty(bias.shape),
        coefficients.new_empty(coefficients.shape), decay.new_empty(()), grad_last.new_empty(grad_last.shape),
    )  # fmt: skip


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    current, conductance, bias, coefficients, decay, _, *fixed, _ = inputs
    ctx.save_for_backward(output[1], current, conductance, bias, coefficients, decay)
    ctx.fixed = fixed


def _backward(ctx: Any, grad_spikes: Tensor, _: Tensor, grad_last: Tensor) -> tuple[Tensor | None, ...]:
    kept, current, conductance, bias, *others = ctx.saved_tensors
    grads = neurons_backward(grad_spikes, grad_last, kept, current, conductance, bias, *others, *ctx.fixed)
    of_current, of_conductance, of_bias, *rest = grads
    first = (of_current, None if conductance is None else of_conductance, None if bias is None else of_bias, *rest)
    return (*first, *(None for _ in range(len(ctx.fixed) + 1)))


neurons.register_autograd(_backward, setup_context=_save)
