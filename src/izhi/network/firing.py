"""Firing classes and coefficients of a network's neurons, before and after training."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from izhi.network.network import Network
from izhi.neurons import Izhikevich
from izhi.spec import entry_of

#: The step of current that distinguishes classes, by unit of v, and its duration, in ms.
STEP = {"mV": 10.0, "1": 0.1}
DURATION = 500.0

CLASSES = ("silent", "phasic", "tonic", "fast", "adapting", "bursting")


def firing_class(times: NDArray[np.float64], duration: float) -> str:
    """The class of a response to a step of current that begins at 0.

    - ``silent``: no spike;
    - ``phasic``: none in the second half;
    - ``bursting``: after a long interval the neuron fires again at less than half of it;
    - ``adapting``: the last interval is at least half as long again as the first;
    - ``fast``: otherwise, above 50 spikes per second;
    - ``tonic``: otherwise.

    Args:
        times: of the spikes, ms, ascending.
        duration: of the step, ms.
    """
    if len(times) == 0:
        return "silent"
    if times[-1] < duration / 2:
        return "phasic"
    intervals = np.diff(times)
    if len(intervals) < 2:
        return "tonic"
    longest_before = np.maximum.accumulate(intervals)[:-1]
    if (intervals[1:] < 0.5 * longest_before).any():
        return "bursting"
    if intervals[-1] >= 1.5 * intervals[0]:
        return "adapting"
    return "fast" if intervals.mean() < 20 else "tonic"


def firing_classes(neuron: Izhikevich) -> list[str]:
    """The class of each neuron of a layer, or one for all if they have the same coefficients."""
    p = neuron.base_parameters
    size = neuron.parameter_shape or (1,)
    with torch.no_grad():
        gain = torch.as_tensor(neuron.current_coefficients().gain, dtype=torch.float64)
        steps = round(DURATION / p.dt)
        current = (STEP[p.unit] / gain).expand(steps, 1, *size)
        spikes, *_ = neuron.trace(current)
    fired = spikes[:, 0].flatten(1).numpy() > 0
    time = np.arange(len(fired), dtype=np.float64) * p.dt
    return [firing_class(time[fired[:, n]], DURATION) for n in range(fired.shape[1])]


@dataclass(frozen=True)
class LayerDynamics:
    """Learned coefficients of a layer by name, each (N,) or (1,), and its neurons' classes."""

    coefficients: dict[str, Tensor]
    classes: list[str]

    def count(self) -> dict[str, int]:
        """How many neurons are of each class, in the order of ``CLASSES``."""
        counts = Counter(self.classes)
        return {name: counts[name] for name in CLASSES if counts[name]}


def of_network(network: Network) -> list[LayerDynamics]:
    """The learned coefficients of each layer, as its neurons use them."""
    layers = []
    for layer in network.spiking:
        neuron: Any = layer.neuron
        # Of a quantised neuron the coefficients that are not yet rounded.
        neuron = getattr(neuron, "neuron", neuron)
        values = {name: value.detach().reshape(-1).float() for name, value in neuron.learned_values().items()}
        classes = firing_classes(neuron) if entry_of(neuron.kind).has_patterns else []
        layers.append(LayerDynamics(values, classes))
    return layers


def changes(before: LayerDynamics, after: LayerDynamics) -> list[tuple[str, str, str]]:
    """Each learned coefficient of a layer, and its classes, before and after, for people."""
    rows = [
        (name, _summary(before.coefficients[name]), _summary(after.coefficients[name])) for name in after.coefficients
    ]
    if after.classes:
        old, new = (", ".join(f"{kind} {count}" for kind, count in layer.count().items()) for layer in (before, after))
        rows.append(("firing class", old, new))
    return rows


def _summary(values: Tensor) -> str:
    if len(values) == 1:
        return f"{float(values[0]):.4g}"
    values = values.double()
    return f"{float(values.mean()):.4g} ± {float(values.std()):.2g}"
