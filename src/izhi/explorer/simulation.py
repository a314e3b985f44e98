"""Numbers of the tab of neurons: traces, firing rates over currents, responses to an impulse, in single precision."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from izhi.neurons import Izhikevich
from izhi.neurons.neuron import NeuronLayer
from izhi.spec import IzhikevichParameters

Numbers: TypeAlias = NDArray[np.float64]
AnyNeuron: TypeAlias = NeuronLayer[Any, Any]

#: When a constant current begins, ms or steps: as ``izhi simulate`` has it.
START = 10.0
#: How long firing rates are counted, ms or steps.
_COUNTED = 1000.0
#: An impulse that makes no neuron fire, and the most steps of a response to it.
_IMPULSE, _MOST_STEPS = 1e-3, 1000


def traced(neuron: AnyNeuron, current: Numbers) -> list[Numbers]:
    """Spikes and states of a neuron under a current (T,)."""
    with torch.no_grad():
        trace = neuron.trace(torch.from_numpy(current).float().reshape(-1, 1, 1))
    return [x.flatten().double().numpy() for x in trace]


def firing_rates(neuron: AnyNeuron, currents: Numbers, dt: float = 1.0) -> Numbers:
    """Spikes per ms, or step, under constant currents (N,), counted over 1,000 ms, or steps, after their start."""
    first, steps = round(START / dt), round((START + _COUNTED) / dt)
    over_time = torch.zeros(steps, len(currents), 1)
    over_time[first:] = torch.from_numpy(currents).float()[:, None]
    with torch.no_grad():
        spikes, *_ = neuron.trace(over_time)
    return np.asarray((spikes > 0).sum(0).flatten().double().numpy()) / _COUNTED


def impulse_response(parameters: IzhikevichParameters, decay: float) -> Numbers:
    """v of a resonator after an impulse of 1 in the first step, until a fiftieth is left of it."""
    steps = min(_MOST_STEPS, math.ceil(math.log(50) / -math.log1p(-decay)) + 2)
    impulse = np.zeros(steps)
    impulse[0] = _IMPULSE
    _, v, _ = traced(Izhikevich(parameters, gain=1.0), impulse)
    return v / _IMPULSE


__all__ = ["START", "AnyNeuron", "Numbers", "firing_rates", "impulse_response", "traced"]
