"""The kernels of neurons without a compiler: their statements in NumPy, all lanes at once, over time in Python.

``use`` puts them in the place of those that Numba compiles, in milliseconds for each plan.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from izhi.kernels import cpu, device
from izhi.kernels.cpu.lane import lane_functions
from izhi.kernels.ops import OpSet
from izhi.kernels.packed import PackedSpikes
from izhi.kernels.plan import Call, Gradients, Plan, SampleCall, SampleGradients, SampleKernels

OPS = OpSet(
    inlined=lambda function: function,
    constant=lambda value: value,
    number=np.float32,
    select=np.where,
    clip=lambda x, low, high: np.minimum(np.maximum(x, low), high),
    exp=np.errstate(over="ignore")(np.exp),
    absolute=np.abs,
    wide=np.float64,
    narrow=np.float32,
    rounded=lambda x, scale, unit: np.floor(x * scale + 0.5) * unit,
)
#: The index of every lane.
EVERY = slice(None)


class Lanes:
    """Rows of lanes; what is read stays what it was, as the numbers of a compiled step do."""

    def __init__(self, values: Any) -> None:
        self.values = np.array(values, np.float32, copy=True)

    def __getitem__(self, place: Any) -> Any:
        return self.values[place].copy()

    def __setitem__(self, place: Any, value: Any) -> None:
        assert np.asarray(value).dtype == np.float32  # else NumPy would round what a compiler does not
        self.values[place] = value


class Lane:
    """The step of a call's lanes, and its backward pass, by ``lane_functions``."""

    def __init__(self, plan: Plan, call: Call) -> None:
        self.plan, self.functions, lanes = plan, lane_functions(plan, OPS), call.current.shape[1]
        coefficients = call.coefficients.numpy()
        self.constants = self.functions.constants(call.constants.numpy())
        self.same = self.functions.shared(coefficients) if plan.shared else None
        self.each = None if plan.shared else np.tile(coefficients, lanes // coefficients.shape[1])
        self.bias = np.tile(call.bias.numpy(), lanes // len(call.bias)) if plan.biased else None
        self.currents = call.current.float().numpy()
        self.conductances = call.conductance.float().numpy() if plan.coupled else np.zeros((len(self.currents), 1))

    def step(self, z: Lanes, t: int) -> Any:
        """Spikes; z becomes the states after the step."""
        current, conductance = self.currents[t], np.float32(self.conductances[t])
        return self.functions.step(
            z, self.each, self.same, current, conductance, self.bias, self.constants, EVERY
        )  # fmt: skip

    def step_vjp(self, before: Any, z: Lanes, gz: Lanes, t: int, g_spike: Any, summed: Lanes, bias_sum: Lanes) -> Any:
        """Gradients of current and conductance; gz becomes those of the states before the step."""
        current, conductance = self.currents[t], np.float32(self.conductances[t])
        return self.functions.step_vjp(
            Lanes(before), z, gz, self.each, self.same, current, conductance, self.bias, g_spike, summed, bias_sum,
            self.constants, EVERY,
        )  # fmt: skip


def forward(
    plan: Plan, call: Call, state: torch.Tensor, keep_every: int,
    into: tuple[torch.Tensor, torch.Tensor] | None = None, batch: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """As that of ``izhi.kernels.cpu``."""
    spikes, last = into or (torch.empty_like(call.current), torch.empty_like(state))
    lane, z, kept = Lane(plan, call), Lanes(state.numpy()), []
    for t in range(len(call.current)):
        if keep_every and t % keep_every == 0:
            kept.append(torch.from_numpy(z[EVERY]))
        spikes[t] = torch.from_numpy(np.asarray(lane.step(z, t)))
    last.copy_(torch.from_numpy(z.values))
    if batch:
        spikes = PackedSpikes.pack(spikes.view(len(spikes), batch, -1)).words
    return spikes, torch.stack(kept) if kept else torch.empty(0, *state.shape), last


def backward(
    plan: Plan, call: Call, kept: torch.Tensor, keep_every: int, grad_spikes: torch.Tensor, grad_last: torch.Tensor
) -> Gradients:
    """As that of ``izhi.kernels.cpu``."""
    (steps, lanes), lane, gz = call.current.shape, Lane(plan, call), Lanes(grad_last.numpy())
    summed, bias_sum = Lanes(np.zeros((len(plan.learn), lanes))), Lanes(np.zeros(lanes))
    grad_x, grad_y = torch.empty_like(call.current), torch.empty_like(call.conductance)
    for part in reversed(range(len(kept))):
        times, z, before = range(part * keep_every, min(steps, (part + 1) * keep_every)), Lanes(kept[part].numpy()), []
        for t in times:
            before.append(z[EVERY])
            lane.step(z, t)
        for t in reversed(times):
            g_spike = grad_spikes[t].float().numpy()
            gx, gy = lane.step_vjp(before[t - times[0]], z, gz, t, g_spike, summed, bias_sum)
            grad_x[t] = torch.as_tensor(gx)
            if plan.coupled:
                grad_y[t] = torch.as_tensor(gy)
    found = [torch.from_numpy(x.values) for x in (gz, bias_sum, summed)]
    return Gradients(
        grad_x, grad_y if plan.coupled else None, found[0], found[1] if plan.biased else None,
        found[2] if plan.learn else None,
    )  # fmt: skip


def forward_of_samples(
    plan: Plan, call: SampleCall, state: torch.Tensor, batch: int, keep: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """As that of ``izhi.kernels.cpu.samples``; every state is kept."""
    currents = (call.current if call.weight is None else call.current @ call.weight.t()).flatten(1).clone()
    fired, kept = torch.empty_like(currents), []
    for t in range(len(currents)):
        if t == 0 and call.of_first is not None:
            currents[0] += call.of_first
        if t and call.feedback is not None:
            torch.addmm(*_rows(batch, currents[t], fired[t - 1]), call.feedback.t(), out=currents[t].view(batch, -1))
        kept.append(state)
        spikes, _, state = forward(plan, _of_steps(call, currents, slice(t, t + 1)), state, 0)
        fired[t] = spikes[0]
    words = PackedSpikes.pack(fired.view(len(fired), batch, -1)).words
    return words, currents, torch.stack(kept), state


def backward_of_samples(
    plan: Plan, call: SampleCall, words: torch.Tensor, currents: torch.Tensor, kept: torch.Tensor,
    grad_spikes: torch.Tensor, grad_last: torch.Tensor,
) -> SampleGradients:  # fmt: skip
    """As that of ``izhi.kernels.cpu.samples``: what spikes receive from the next step, then all else at once."""
    steps, batch, arriving = len(currents), len(words), grad_spikes.flatten(1).clone()
    fired = PackedSpikes(words, steps, currents.dtype).dense()
    after = grad_last
    for t in reversed(range(steps)):
        one, state = _of_steps(call, currents, slice(t, t + 1)), kept[t : t + 1]
        g = backward(replace(plan, learn=()), one, state, 1, arriving[t : t + 1], after)
        after = g.state
        if t and call.feedback is not None:
            torch.addmm(*_rows(batch, arriving[t - 1], g.current), call.feedback, out=arriving[t - 1].view(batch, -1))
    g = backward(plan, _of_steps(call, currents, slice(None)), kept, 1, arriving, grad_last)
    across = g.current.view(steps, batch, -1).float()
    of_feedback = None if call.feedback is None else torch.einsum("tbo,tbi->oi", across[1:], fired[:-1].float())
    of_weight = None if call.weight is None else torch.einsum("tbo,tbi->oi", across, call.current)
    return SampleGradients(
        g.current, of_weight, g.conductance, g.state, g.bias, g.coefficients, of_feedback, g.current[0].float()
    )  # fmt: skip


def _rows(batch: int, *lanes: torch.Tensor) -> list[torch.Tensor]:
    """Lanes as (B, N)."""
    return [x.view(batch, -1) for x in lanes]


def _of_steps(call: SampleCall, currents: torch.Tensor, steps: slice) -> Call:
    """Some steps of a call, under the currents that arrived in all."""
    of_neurons = call.bias, call.coefficients, call.constants, call.decay
    return Call(currents[steps], call.conductance[steps], *of_neurons)


DEVICE = SimpleNamespace(
    COMPILER="NumPy", TAKES_FACTORS=False, LOADS_DECAY=False, LAYER=cpu.LAYER, DELAYS=cpu.DELAYS,
    POOLS=cpu.POOLS, SAMPLES=SampleKernels(forward_of_samples, backward_of_samples), forward=forward, backward=backward,
    rate=cpu.rate,
)  # fmt: skip


def use(patch: pytest.MonkeyPatch) -> None:
    """Let neurons that ask for the kernels of a CPU take these."""
    patch.setattr(device, "cpu", DEVICE)


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder whose assertions are not about loops, threads and memory of compiled kernels."""
    use(monkeypatch)
