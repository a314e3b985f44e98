"""Recurrent neurons on a device whose kernels have no recurrence: a launch, and a product, for each step."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from izhi.kernels.device import Device
from izhi.kernels.plan import Call, Gradients, Plan
from izhi.kernels.products import weight_gradient


def forward_step_by_step(
    device: Device, plan: Plan, call: Call, state: Tensor, feedback: Tensor, spikes: Tensor, keep: bool
) -> tuple[Call, Tensor, Tensor, Tensor]:
    """Each step's spikes add to the next step's current; the call with that sum, spikes, states, the last state."""
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


def backward_step_by_step(
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


def gradient_of_feedback(across: Tensor, before: Tensor | None, fired: Tensor) -> Tensor:
    """(N, N), of gradients of currents (T, B, N), spikes before the first step (B, N) and those of all (T, B, N).

    ``before`` is None for no spikes.
    """
    found = weight_gradient(fired[:-1], across[1:]) if len(fired) > 1 else across.new_zeros(across.shape[2:] * 2)
    return found if before is None else found + across[0].t() @ before


def _step(call: Call, t: int) -> Call:
    return call._replace(current=call.current[t : t + 1], conductance=call.conductance[t : t + 1])


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
