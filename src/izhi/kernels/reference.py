"""Neurons step by step in plain torch, on any device and in any format: the truth for every kernel."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from izhi.kernels.plan import Constants
from izhi.kernels.synaptic_input import Memory, StepSettings, SynapticInput
from izhi.kernels.torch_step import as_double, is_plain, synapse_step

SynapseForm: TypeAlias = Literal["current", "conductance", "quantized"]
#: Steps of a synapse by its form, and whether somebody can ask for gradients; made here, where no compiler traces.
_SYNAPSES = {
    (form, learns): synapse_step(form == "conductance", form == "quantized", learns)
    for form in ("current", "conductance", "quantized")
    for learns in (False, True)
}


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
    k = Constants().traced(synapse.grid)._replace(decay=synapse.decay, implicit=synapse.implicit)  # type: ignore[arg-type]
    if synapse.grid is not None:
        trace = _SYNAPSES["quantized", not is_plain()](arriving[0], None, held, k)[0].to(kind)
        return SynapticInput(trace, g, bias), Memory((trace,), memory.spikes)
    form: SynapseForm = "current" if g is None else "conductance"
    results = _SYNAPSES[form, not is_plain()](arriving[0], None if g is None else arriving[1], held, k)
    traces, filtered = results[: len(held)], results[len(held) :]
    of_neuron = SynapticInput(filtered[0], None if g is None else filtered[1], bias)
    return of_neuron, Memory(traces, memory.spikes)


def _fed_back(spikes: Tensor, feedback: Tensor) -> Tensor:
    """R·z: a matrix, or a convolution that keeps the size."""
    if feedback.dim() == 2:
        return torch.nn.functional.linear(spikes, feedback)
    convolve = torch.nn.functional.conv1d if feedback.dim() == 3 else torch.nn.functional.conv2d
    return convolve(spikes, feedback, padding="same")


def remember(drive: SynapticInput, memory: Memory, spikes: Tensor) -> Memory:
    """The memory after the spikes of a step, which feedback alone needs."""
    return memory if drive.feedback is None else memory._replace(spikes=spikes)


def step(
    drive: SynapticInput, state: tuple[Tensor, ...], p: tuple[Tensor | float, ...], s: StepSettings
) -> tuple[Tensor, ...]:
    """One step of neurons.

    Args:
        drive: input of this step behind its synapse, (B, *features).
        state: (B, *features) each.
        p: coefficients in the order of the equation's, and a gain where states are fixed-point numbers.
        s: settings.

    Returns:
        spikes and states, (B, *features) each.
    """
    current, g, bias = drive[:3]
    kind, quantized = state[0].dtype, s.formats is not None
    if quantized:
        # The step of izhi.fixed in values instead of integers, exact in double precision.
        state, p = tuple(x.double() for x in state), tuple(map(as_double, p))
        current, bias = current.double(), torch.zeros(()).double() if bias is None else bias.double()
    else:
        current = (current if bias is None else current + bias).to(kind)
    of_step = s.functions[g is not None][not is_plain()]
    results = of_step(state, current, g, bias, p, s.of_kernels, s.surrogate, s.state_quant)
    return tuple(x.to(kind) for x in results) if quantized else results


def over_time(
    drive: SynapticInput, memory: Memory, state: tuple[Tensor, ...], p: tuple[Tensor | float, ...], s: StepSettings
) -> tuple[Tensor, Memory, tuple[Tensor, ...]]:
    """All steps of ``step``: drive (T, B, *features) → spikes (T, B, *features), memory and state after the last."""
    outputs = []
    for t in range(drive.current.shape[0]):
        now, memory = apply_synapse(drive.step(t), memory)
        spikes, *after = step(now, state, p, s)
        state, memory = tuple(after), remember(drive, memory, spikes)
        outputs.append(spikes.to(drive.current.dtype))
    return torch.stack(outputs), memory, state
